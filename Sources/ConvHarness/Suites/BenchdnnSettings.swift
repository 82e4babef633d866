import ConvCore

/// What the options of a benchdnn batch file say about the problems after them.
///
/// Options about the problem are honoured: `--mb`, `--dir`, `--stag` and `--dtag` (plain layouts), `--match`. Those that change the
/// operation in a way that vbench does not measure (other element types, post-operations, scales, blocked layouts) leave their problems
/// out, with a reason. Those about benchdnn itself or about oneDNN's choice of an implementation are passed over with a note.
struct BenchdnnSettings {
  /// Batch sizes in the place of the problems' own; 0 stands for their own.
  private(set) var batches = [0]
  /// Passes; nil: those of the command line.
  private var passes: [ConvPass]?
  private var sourceTags: [Tag] = [.any], destinationTags: [Tag] = [.any]
  private var pattern: LinearPattern?
  /// Why problems are left out at present, by option, in the order of their appearance.
  private var reasons: [(option: String, reason: String)] = []

  /// A memory layout by name.
  private enum Tag: Hashable {
    case any
    case plain(MemoryFormat)
    case other

    init(_ text: Substring) {
      switch text.lowercased() {
      case "", "any", "undef": self = .any
      case "abx", "abc", "abcd", "abcde", "ncw", "nchw", "ncdhw": self = .plain(.nchw)
      case "axb", "acb", "acdb", "acdeb", "nwc", "nhwc", "ndhwc": self = .plain(.nhwc)
      default: self = .other
      }
    }
  }

  /// What an option asks of its reader.
  enum Action: Equatable {
    case nothing
    /// A remark about an option, at most one for each.
    case note(option: String, text: String)
    /// The words of a file stand at this place.
    case batch(String)
  }

  /// Why the problems at this place are left out.
  var declined: [String] { reasons.map(\.reason) }

  /// Whether `--match` lets a problem through: the expression has to match the whole descriptor.
  func matches(_ word: ArraySlice<UInt8>) -> Bool {
    guard let pattern else { return true }
    return pattern.matches(String(decoding: word, as: UTF8.self))
  }

  /// The problem at the batch sizes, passes and formats that hold here.
  func applied(to problem: BenchmarkProblem) throws -> [BenchmarkProblem] {
    if batches == [0], passes == nil, sourceTags == [.any], destinationTags == [.any] { return [problem] }
    return try batches.map { batch in
      var result = problem
      if batch > 0 { result.problem = try problem.problem.withBatch(batch) }
      result.passes = passes
      result.formats = formats
      return result
    }
  }

  /// The formats that images can have by both tags; a plain layout on one side fixes the other. Nil is the command line's.
  private var formats: [MemoryFormat?] {
    var result: [MemoryFormat?] = []
    for source in sourceTags {
      for destination in destinationTags {
        let format: MemoryFormat?
        switch (source, destination) {
        case (.any, .any): format = nil
        case (.plain(let plain), .any), (.any, .plain(let plain)): format = plain
        case (.plain(let a), .plain(let b)) where a == b: format = a
        default: continue
        }
        if !result.contains(format) { result.append(format) }
      }
    }
    return result
  }

  // MARK: Options

  /// Options that do not change what is computed.
  private static let withoutMeaning: Set<String> = [
    "alg", "allow-enum-tags-only", "allow-unimpl", "attr-deterministic", "attr-same-pd-check",
    "attr-scratchpad",
    "bia-dt", "bia_dt", "canonical", "check-ref-impl", "cold-cache", "cpu-isa-hints", "ctx-exe", "ctx-init",
    "engine",
    "execution-mode", "fast-ref", "fast-ref-gpu", "fix-times-per-prb", "global-impl", "global-skip-impl",
    "impl",
    "max-ms-per-prb", "memory-kind", "mode", "mode-modifier", "num-streams", "perf-template",
    "repeats-per-prb", "skip-impl", "start", "stream-kind", "summary", "test-start", "v", "verbose",
  ]
  /// Options that change what is computed unless one of their values is empty (or strict).
  private static let operations: Set<String> = [
    "attr", "attr-acc-mode", "attr-dropout", "attr-fpmath", "attr-oscale", "attr-post-ops",
    "attr-rounding-mode",
    "attr-scales", "attr-zero-points", "strides",
  ]
  private static let honoured = [
    "batch", "cfg", "conv", "dir", "dt", "dtag", "match", "mb", "reset", "stag", "wtag",
  ]

  /// Takes one option, as in `--mb=2` or `-v1`.
  ///
  /// - Parameter fail: makes the error of a reason.
  mutating func take(_ word: String, fail: (String) -> HarnessError) throws -> Action {
    let body = word.drop { $0 == "-" }
    let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts.first ?? "")
    let value = parts.count > 1 ? Self.unquoted(parts[1]) : ""
    let values = value.split(separator: ",", omittingEmptySubsequences: false)
    switch name {
    case "reset": self = BenchdnnSettings()
    case "conv": break
    case "batch":
      guard !value.isEmpty else { throw fail("--batch needs a file, as in --batch=shapes_alexnet") }
      return .batch(String(value))
    case "mb":
      batches = try (value.isEmpty ? ["0"] : values).map { text in
        guard let batch = Int(text), (0...1 << 40).contains(batch) else {
          throw fail("--mb holds '\(text)', a batch size is needed (0 is the problem's own)")
        }
        return batch
      }
    case "dir": return try takeDirections(values, word, fail)
    case "cfg", "dt":
      let known = values.filter { $0.isEmpty || Self.isFloat32($0) }
      return decline(
        "type", all: known.isEmpty, some: known.count < values.count,
        "\(word) asks for other element types than f32")
    case "stag", "dtag":
      // The layouts of both sides are combined: of a thousand values a few differ.
      let tags = values.reduce(into: [Tag]()) { tags, value in
        let tag = Tag(value)
        if !tags.contains(tag) { tags.append(tag) }
      }
      if name == "stag" { sourceTags = tags } else { destinationTags = tags }
      let possible = formats.count
      let wanted = sourceTags.count * destinationTags.count
      return decline(
        "tags", all: possible == 0, some: tags.contains(.other) || possible < min(wanted, 2),
        "\(word) asks for a layout other than nchw or nhwc of input and output alike")
    case "wtag":
      let plain = values.filter {
        ["", "any", "abx", "oiw", "oihw", "oidhw", "goiw", "goihw", "goidhw"].contains($0.lowercased())
      }
      return decline(
        name, all: plain.isEmpty, some: plain.count < values.count,
        "\(word) asks for a filter layout other than the plain one")
    case "match":
      pattern = value.isEmpty ? nil : try Self.pattern(String(value), fail)
    case _ where Self.operations.contains(name):
      let plain = values.filter { $0.isEmpty || $0 == "strict" }
      return decline(
        name, all: plain.isEmpty, some: plain.count < values.count,
        "\(word) changes the operation; vbench measures the plain convolution")
    case _ where Self.withoutMeaning.contains(name) || Self.isVerbosity(name):
      return .note(
        option: name, text: "--\(name) is about benchdnn, not about the problems, and is passed over")
    default:
      let known = Self.honoured + Self.operations.sorted() + Self.withoutMeaning.sorted()
      throw fail(
        "unknown option '\(word)'; the nearest known one is --\(NearNames.sorted(known, by: name)[0])")
    }
    return .nothing
  }

  private static func pattern(_ text: String, _ fail: (String) -> HarnessError) throws -> LinearPattern {
    do {
      return try LinearPattern(text)
    } catch let error as LinearPattern.SyntaxError {
      throw fail(
        "'\(text)' is no regular expression: \(error.reason), at character \(error.offset + 1)\n  \(text)\n  "
          + String(repeating: " ", count: error.offset) + "^")
    }
  }

  private mutating func takeDirections(
    _ values: [Substring], _ word: String, _ fail: (String) -> HarnessError
  ) throws -> Action {
    if values == [""] {
      passes = nil
      return .nothing
    }
    var hasBias = false
    var result: [ConvPass] = []
    for value in values {
      let pass: ConvPass
      switch value.uppercased() {
      case "FWD_D", "FWD_I": pass = .forward
      case "FWD_B": (pass, hasBias) = (.forward, true)
      case "BWD_D": pass = .backwardData
      case "BWD_W": pass = .backwardFilter
      case "BWD_WB": (pass, hasBias) = (.backwardFilter, true)
      default:
        throw fail("--dir holds '\(value)'; known: FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB")
      }
      if !result.contains(pass) { result.append(pass) }
    }
    passes = result
    if !hasBias { return .nothing }
    return .note(option: "bias", text: "\(word) is measured without the bias")
  }

  /// Takes note of values that cannot be had: without any that can, the problems are left out.
  private mutating func decline(_ option: String, all: Bool, some: Bool, _ reason: String) -> Action {
    reasons.removeAll { $0.option == option }
    if all {
      reasons.append((option, reason))
      return .nothing
    }
    return some ? .note(option: option, text: "\(reason): that value is passed over") : .nothing
  }

  private static func isFloat32(_ text: Substring) -> Bool {
    // `f32_wino` and the like are float32 with other data or another algorithm.
    text.split(separator: ":").allSatisfy { $0 == "f32" || $0.hasPrefix("f32_") }
  }

  /// `-v5` is written in one word.
  private static func isVerbosity(_ name: String) -> Bool {
    name.hasPrefix("v") && name.dropFirst().allSatisfy(\.isNumber)
  }

  private static func unquoted(_ text: Substring) -> Substring {
    guard text.count >= 2, let first = text.first, first == text.last, first == "\"" || first == "'" else {
      return text
    }
    return text.dropFirst().dropLast()
  }
}
