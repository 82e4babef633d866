/// One mutant's share of one file.
struct FileChange: Sendable {
  /// What `VBENCH_MUTANT` is for this mutant.
  var number: Int
  var instructionSet: String?
  /// In the order of the file.
  var edits: [Edit]
}

/// A source file in which each function that mutants change stands once per mutant, and a variable of the
/// environment chooses: so that one build holds all mutants, and each is alone when it runs.
struct SwitchedFile: Sendable {
  private(set) var text: [UInt8] = []
  /// Which mutant's variant some lines belong to (from 1), to find whom a compiler's error is about.
  private(set) var owners: [(lines: ClosedRange<Int>, numbers: [Int])] = []
  private var line = 1

  /// The regions that a change's edits can be switched in; nil if some lie outside of any.
  static func regions(of change: FileChange, among regions: [Region]) -> [Region]? {
    var found: [Region] = []
    for edit in change.edits {
      guard let region = regions.first(where: { $0.contains(edit) }) else { return nil }
      if found.last != region { found.append(region) }
    }
    return found
  }

  static func regions(in source: [UInt8], isSwift: Bool) -> [Region] {
    isSwift ? SwiftRegions.of(source) : CRegions.of(source)
  }

  /// - Parameter changes: each within regions of `source`.
  init(_ source: [UInt8], isSwift: Bool, regions: [Region], changes: [FileChange]) {
    append(isSwift ? "import CMutants\n" : "#include \"vb_mutants.h\"\n")
    var position = 0
    for region in regions.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
      let here: [(change: FileChange, edits: [Edit])] = changes.compactMap { change in
        let edits = change.edits.filter { region.contains($0) }
        return edits.isEmpty ? nil : (change, edits)
      }
      guard !here.isEmpty else { continue }
      append(source[position..<region.range.lowerBound])
      appendChoice(of: here, original: Array(source[region.range]), region)
      position = region.range.upperBound
    }
    append(source[position...])
  }

  private mutating func appendChoice(
    of changes: [(change: FileChange, edits: [Edit])], original: [UInt8], _ region: Region
  ) {
    let start = line
    for (index, (change, edits)) in changes.enumerated() {
      var mutated = original
      for edit in edits.reversed() {
        let lower = region.range.lowerBound
        mutated = Edit(
          range: (edit.range.lowerBound - lower)..<(edit.range.upperBound - lower),
          replacement: edit.replacement
        ).applied(to: mutated)
      }
      let first = line
      append(variant(mutated, condition(change), region.kind, isFirst: index == 0))
      owners.append((first...line, [change.number]))
    }
    append(rest(original, region.kind))
    // What is said of the whole is said of all: asked last.
    owners.append((start...line, changes.map(\.change.number)))
  }

  private func condition(_ change: FileChange) -> String {
    guard let set = change.instructionSet else { return "vb_mutant_is(\(change.number))" }
    return "vb_mutant_is(\(change.number)) && VB_MUTANT_SET(\"\(set)\")"
  }

  private func variant(_ text: [UInt8], _ condition: String, _ kind: Region.Kind, isFirst: Bool) -> String {
    let text = String(decoding: text, as: UTF8.self)
    switch kind {
    case .body(let value):
      return (isFirst ? " if " : "\n} else if ") + condition + " {" + branch(text, givesValue: value)
    case .block:
      return (isFirst ? " if (" : "} else if (") + condition + ") {" + text
    case .expression:
      return (isFirst ? "(" : "") + condition + " ? (" + text + ") : "
    }
  }

  private func rest(_ text: [UInt8], _ kind: Region.Kind) -> String {
    let text = String(decoding: text, as: UTF8.self)
    switch kind {
    case .body(let value): return "\n} else {" + branch(text, givesValue: value) + "\n}\n"
    case .block: return "} else {" + text + "} "
    case .expression: return "(" + text + "))"
    }
  }

  private mutating func append(_ more: some Sequence<UInt8>) {
    for byte in more {
      text.append(byte)
      if byte == UInt8(ascii: "\n") { line += 1 }
    }
  }

  private mutating func append(_ more: String) { append(more.utf8) }
}
