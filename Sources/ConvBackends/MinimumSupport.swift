public import ConvCore

/// What each engine must be able to do, by itself or through the core's lowerings: declining any of it is a defect.
///
/// The table is printed in the README and asserted by BackendConformanceTests.
public struct MinimumSupport: Sendable, Hashable {
  /// Name of the engine.
  public let backend: String
  /// Passes.
  public let passes: [ConvPass]
  /// Numbers of spatial dimensions.
  public let ranks: [Int]
  /// Taps per axis (height and width); nil is any number.
  public let taps: [Int]?
  /// Whether strides above 1 are included.
  public let strides: Bool
  /// Whether dilations above 1 are included.
  public let dilations: Bool
  /// Whether groups are included.
  public let groups: Bool
  /// Element types.
  public let elementTypes: [ElementType]

  private init(
    _ backend: String, taps: [Int]? = nil, strides: Bool = true,
    elementTypes: [ElementType] = [.float32, .float64]
  ) {
    self.backend = backend
    passes = ConvPass.allCases
    ranks = [1, 2, 3]
    self.taps = taps
    self.strides = strides
    dilations = true
    groups = true
    self.elementTypes = elementTypes
  }

  /// One entry per engine.
  public static let table: [MinimumSupport] = [
    MinimumSupport("naive"),
    MinimumSupport("im2col"),
    MinimumSupport("winograd", taps: [3, 5], strides: false),
    MinimumSupport("direct"),
    MinimumSupport("fft"),
    MinimumSupport("onednn", elementTypes: [.float32]),
    MinimumSupport("auto"),
  ]

  /// Whether engine `backend` must support `operation`; false for engines that the table does not name.
  public static func requires(_ backend: String, _ operation: ConvOperation) -> Bool {
    table.first { $0.backend == backend }?.covers(operation) ?? false
  }

  /// Whether the entry includes the operation.
  public func covers(_ operation: ConvOperation) -> Bool {
    let problem = operation.problem
    let planar = problem.spatialRank == 1 ? [problem.filter.w] : [problem.filter.h, problem.filter.w]
    return operation.contradiction == nil && passes.contains(operation.pass)
      && ranks.contains(problem.spatialRank) && elementTypes.contains(operation.elementType)
      && (strides || problem.stride == Extent(w: 1)) && (dilations || problem.dilation == Extent(w: 1))
      && (groups || problem.groups == 1) && (taps.map { taps in planar.allSatisfy(taps.contains) } ?? true)
  }

  /// The table as Markdown.
  public static var markdown: String {
    var lines = [
      "| engine | passes | dimensions | filter taps per axis | stride | dilation | groups | element types |",
      "|---|---|---|---|---|---|---|---|",
    ]
    for entry in table {
      let taps = entry.taps.map { $0.map(String.init).joined(separator: " or ") } ?? "any"
      lines.append(
        "| `\(entry.backend)` | \(entry.passes.map(\.rawValue).joined(separator: ", ")) "
          + "| \(entry.ranks.map { "\($0)-D" }.joined(separator: ", ")) | \(taps) "
          + "| \(entry.strides ? "any" : "1") | \(entry.dilations ? "any" : "1") "
          + "| \(entry.groups ? "any" : "1") | \(entry.elementTypes.map(\.rawValue).joined(separator: ", ")) |"
      )
    }
    return lines.joined(separator: "\n")
  }
}
