public import ConvCore
import ConvDirect
import ConvIm2col
import ConvNaive
import ConvWinograd

#if FFTW
  import ConvFFT
#endif
#if OneDNN
  import ConvOneDNN
#endif

/// The engines of this build: the only place that names them all.
public enum BackendRegistry {
  /// Every engine, the oracle first. Which there are depends on the package traits.
  public static var all: [any ConvolutionBackend] { additional.isEmpty ? builtIn : builtIn + additional }

  /// Engines that a test's executable has beside those of the build; to be set before the first command.
  package nonisolated(unsafe) static var additional: [any ConvolutionBackend] = []

  private static let builtIn: [any ConvolutionBackend] = {
    var all: [any ConvolutionBackend] = [.naive, .im2col, .winograd, .direct]
    #if FFTW
      all.append(.fft)
    #endif
    #if OneDNN
      all.append(.onednn)
    #endif
    all.append(.auto)
    return all
  }()

  /// The names of `all`, in its order.
  public static var names: [String] { all.map(\.name) }

  /// An engine and the variant of it that is to be used, as in `winograd[tile=4x4]`.
  public struct Selection: Sendable, CustomStringConvertible {
    /// The engine.
    public let backend: any ConvolutionBackend
    /// For `PlanOptions.variant`; nil leaves the choice to the engine.
    public let variant: String?

    /// An engine, and the variant where one is wanted.
    public init(backend: any ConvolutionBackend, variant: String? = nil) {
      self.backend = backend
      self.variant = variant
    }

    /// The text that `named(_:)` reads.
    public var description: String { variant.map { "\(backend.name)[\($0)]" } ?? backend.name }
  }

  /// The engine that `text` names: `im2col`, or with a variant in the engine's own words, `im2col[gemm=kernel]`.
  ///
  /// Whether the engine knows the variant is its own business: `support` says so, operation by operation.
  /// - Throws: `ConvError.unknownName` with the near names first; kind "variant text" where the brackets are wrong.
  public static func named(_ text: String) throws -> Selection {
    var name = Substring(text)
    var variant: String?
    if let open = text.firstIndex(of: "[") {
      name = text[..<open]
      let inside = text[text.index(after: open)...]
      guard inside.last == "]", inside.count > 1, !inside.dropLast().contains(where: { "[]".contains($0) })
      else {
        throw ConvError.unknownName(
          kind: "variant text", name: text, known: ["\(name)[key=value]", "\(name)[key=value,key=value]"])
      }
      variant = String(inside.dropLast())
    }
    guard let backend = all.first(where: { $0.name == name }) else {
      throw ConvError.unknownName(
        kind: "backend", name: String(name), known: nearest(to: String(name), of: names))
    }
    return Selection(backend: backend, variant: variant)
  }

  /// `names`, those that take the fewest edits to reach from `name` first.
  static func nearest(to name: String, of names: [String]) -> [String] {
    names.map { ($0, editDistance(name.lowercased(), $0)) }.sorted { $0.1 < $1.1 }.map(\.0)
  }

  /// Insertions, deletions and replacements of one character that turn `a` into `b` (Levenshtein).
  static func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0...b.count)
    for (i, character) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for j in b.indices {
        let replaced = diagonal + (character == b[j] ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
      }
    }
    return row[b.count]
  }
}
