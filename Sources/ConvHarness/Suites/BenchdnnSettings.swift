import ConvCore

/// What the options of a benchdnn batch file say about the problems after them.
///
/// Options about the problem are honoured: `--mb`, `--dir`, `--stag` and `--dtag` (plain layouts), `--match` (an extended expression,
/// looked for in `BenchdnnLine`). Those that change the
/// operation in a way that vbench does not measure (other element types, post-operations, scales, blocked layouts) leave their problems
/// out, with a reason. Those about benchdnn itself or about oneDNN's choice of an implementation are passed over with a note.
struct BenchdnnSettings {
  /// Batch sizes in the place of the problems' own; 0 stands for their own.
  private(set) var batches = [0]
  /// What `--dir` holds; none: the passes of the command line.
  private var directions: [Direction] = []
  private var sourceTags = [TagName.any], destinationTags = [TagName.any]
  private var filterTags = [""]
  /// The expression of `--match`, and as it is written.
  private var pattern: LinearPattern?
  private(set) var patternText = ""
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

  /// A layout as it is written; benchdnn's line holds it unless it is `any`.
  private struct TagName {
    static let any = TagName("any")
    let text: String
    let tag: Tag

    init(_ text: Substring) {
      tag = Tag(text)
      self.text = tag == .any ? "" : String(text)
    }
  }

  /// A propagation kind as benchdnn's line names it, and the pass that it means.
  private struct Direction {
    let text: String
    let pass: ConvPass
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

  /// The problem at the batch sizes, passes and formats that hold here; without those that `--match` does not find in benchdnn's line.
  ///
  /// - Parameters:
  ///   - line: that line, but for the options.
  ///   - work: grows by the comparisons that this takes.
  func applied(
    to problem: BenchmarkProblem, line: BenchdnnLine, work: inout Int
  ) throws -> [BenchmarkProblem] {
    let passes = directions.isEmpty ? nil : Self.unique(directions.map(\.pass))
    var result: [BenchmarkProblem] = []
    for batch in batches {
      var sized = problem
      if batch > 0 { sized.problem = try problem.problem.withBatch(batch) }
      guard let pattern else {
        sized.passes = passes
        sized.formats = formats { _, _ in true }
        result.append(sized)
        continue
      }
      // benchdnn has one line per direction and pair of layouts: passes that are found in different formats become problems of their own.
      var parts: [(passes: [ConvPass], formats: [MemoryFormat?])] = []
      for pass in passes ?? [nil] as [ConvPass?] {
        let names = directions.isEmpty ? [""] : directions.filter { $0.pass == pass }.map(\.text)
        let found = formats { source, destination in
          names.contains { direction in
            filterTags.contains { filter in
              let options = Self.options(direction, source, filter, destination)
              return pattern.isFound(
                in: line.text(batch: sized.problem.n, options: options), work: &work)
            }
          }
        }
        if found.isEmpty { continue }
        if let i = parts.firstIndex(where: { $0.formats == found }) {
          parts[i].passes += pass.map { [$0] } ?? []
        } else {
          parts.append((pass.map { [$0] } ?? [], found))
        }
      }
      for part in parts {
        sized.passes = passes == nil ? nil : part.passes
        sized.formats = part.formats
        result.append(sized)
      }
    }
    return result
  }

  /// Whether `--match` finds the line of a problem that is left out whatever it says.
  func isMeant(_ problem: BenchmarkProblem, _ line: BenchdnnLine, work: inout Int) -> Bool {
    pattern?.isFound(in: firstLine(of: problem, line), work: &work) ?? true
  }

  /// How benchdnn would name the problem at the first of everything.
  func firstLine(of problem: BenchmarkProblem, _ line: BenchdnnLine) -> String {
    let batch = batches[0] > 0 ? batches[0] : problem.problem.n
    let options = Self.options(
      directions.first?.text ?? "", sourceTags.first?.text ?? "", filterTags.first ?? "",
      destinationTags.first?.text ?? "")
    return line.text(batch: batch, options: options)
  }

  private static func options(
    _ direction: String, _ source: String, _ filter: String, _ destination: String
  ) -> String {
    [("dir", direction), ("stag", source), ("wtag", filter), ("dtag", destination)]
      .map { $0.1.isEmpty ? "" : "--\($0.0)=\($0.1) " }.joined()
  }

  /// The formats that images can have by those pairs of tags which are meant; a plain layout on one side fixes the other. Nil is the
  /// command line's.
  private func formats(of isMeant: (_ source: String, _ destination: String) -> Bool) -> [MemoryFormat?] {
    var result: [MemoryFormat?] = []
    for source in sourceTags {
      for destination in destinationTags {
        let format: MemoryFormat?
        switch (source.tag, destination.tag) {
        case (.any, .any): format = nil
        case (.plain(let plain), .any), (.any, .plain(let plain)): format = plain
        case (.plain(let a), .plain(let b)) where a == b: format = a
        default: continue
        }
        if !result.contains(format), isMeant(source.text, destination.text) { result.append(format) }
      }
    }
    return result
  }

  private static func unique<Element: Equatable>(_ elements: [Element]) -> [Element] {
    elements.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
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
    let shown = QuotedText.shortened(word)
    switch name {
    case "reset": self = BenchdnnSettings()
    case "conv": break
    case "batch":
      guard !value.isEmpty else { throw fail("--batch needs a file, as in --batch=shapes_alexnet") }
      return .batch(String(value))
    case "mb":
      batches = try (value.isEmpty ? ["0"] : values).map { text in
        guard let batch = Int(text), (0...1 << 40).contains(batch) else {
          throw fail("--mb holds \(quoting: text), a batch size is needed (0 is the problem's own)")
        }
        return batch
      }
    case "dir": return try takeDirections(values, word, fail)
    case "cfg", "dt":
      let known = values.filter { $0.isEmpty || Self.isFloat32($0) }
      return decline(
        "type", all: known.isEmpty, some: known.count < values.count,
        "\(shown) asks for other element types than f32")
    case "stag", "dtag":
      // The layouts of both sides are combined: of a thousand values a few differ.
      let tags = values.reduce(into: [TagName]()) { tags, value in
        let tag = TagName(value)
        // Of layouts that cannot be had one stands for all.
        if !tags.contains(where: { $0.tag == tag.tag && ($0.text == tag.text || tag.tag == .other) }) {
          tags.append(tag)
        }
      }
      if name == "stag" { sourceTags = tags } else { destinationTags = tags }
      let possible = formats { _, _ in true }.count
      let wanted = Set(sourceTags.map(\.tag)).count * Set(destinationTags.map(\.tag)).count
      return decline(
        "tags", all: possible == 0, some: tags.contains { $0.tag == .other } || possible < min(wanted, 2),
        "\(shown) asks for a layout other than nchw or nhwc of input and output alike")
    case "wtag":
      let plain = values.filter {
        ["", "any", "abx", "oiw", "oihw", "oidhw", "goiw", "goihw", "goidhw"].contains($0.lowercased())
      }
      filterTags = Self.unique(plain.map { $0.lowercased() == "any" ? "" : String($0) })
      return decline(
        name, all: plain.isEmpty, some: plain.count < values.count,
        "\(shown) asks for a filter layout other than the plain one")
    case "match":
      pattern = value.isEmpty ? nil : try Self.pattern(String(value), fail)
      patternText = String(value)
    case _ where Self.operations.contains(name):
      let plain = values.filter { $0.isEmpty || $0 == "strict" }
      return decline(
        name, all: plain.isEmpty, some: plain.count < values.count,
        "\(shown) changes the operation; vbench measures the plain convolution")
    case _ where Self.withoutMeaning.contains(name) || Self.isVerbosity(name):
      return .note(
        option: Self.isVerbosity(name) ? "v" : name,
        text: "--\(QuotedText.shortened(name)) is about benchdnn, not about the problems, and is passed over")
    default:
      let known = Self.honoured + Self.operations.sorted() + Self.withoutMeaning.sorted()
      throw fail(
        "unknown option \(quoting: word); the nearest known one is --\(NearNames.sorted(known, by: name)[0])")
    }
    return .nothing
  }

  private static func pattern(_ text: String, _ fail: (String) -> HarnessError) throws -> LinearPattern {
    do {
      return try LinearPattern(text)
    } catch let error as LinearPattern.SyntaxError {
      throw fail(error.message(text))
    }
  }

  private mutating func takeDirections(
    _ values: [Substring], _ word: String, _ fail: (String) -> HarnessError
  ) throws -> Action {
    directions = []
    if values == [""] { return .nothing }
    var hasBias = false
    for value in values {
      let pass: ConvPass
      let name = value.uppercased()
      switch name {
      case "FWD_D", "FWD_I": pass = .forward
      case "FWD_B": (pass, hasBias) = (.forward, true)
      case "BWD_D": pass = .backwardData
      case "BWD_W": pass = .backwardFilter
      case "BWD_WB": (pass, hasBias) = (.backwardFilter, true)
      default:
        throw fail("--dir holds \(quoting: value); known: FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB")
      }
      // What benchdnn does without the option, its line does not hold.
      let text = name == "FWD_B" ? "" : name
      if !directions.contains(where: { $0.text == text }) {
        directions.append(Direction(text: text, pass: pass))
      }
    }
    if !hasBias { return .nothing }
    return .note(option: "bias", text: "\(QuotedText.shortened(word)) is measured without the bias")
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
