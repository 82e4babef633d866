import Foundation

/// All mutants in one tree: which of them can be switched, and which need a build of their own.
struct Switchboard {
  /// What a mutant changes, by the path of the file.
  private(set) var changes: [Int: [String: [FileChange]]] = [:]
  /// Mutants outside of every function and initial value, or whose variant a compiler refuses.
  private(set) var fixed: Set<Int> = []
  /// Mutants whose lines are not found, with the reason.
  private(set) var broken: [Int: String] = [:]
  let mutants: [Mutant]
  private let tree: SourceTree
  private var sources: [String: [UInt8]] = [:]
  private var regions: [String: [Region]] = [:]
  private var switched: [String: SwitchedFile] = [:]

  init(_ mutants: [Mutant], tree: SourceTree) throws {
    self.mutants = mutants
    self.tree = tree
    for (index, mutant) in mutants.enumerated() {
      do {
        try locate(mutant, number: index + 1)
      } catch {
        broken[index + 1] = "\(error)"
      }
    }
  }

  private mutating func locate(_ mutant: Mutant, number: Int) throws {
    var found: [String: [FileChange]] = [:]
    for hunk in mutant.hunks {
      let path = try tree.path(of: hunk.file)
      if sources[path] == nil {
        let source = try tree.source(of: path)
        sources[path] = source
        regions[path] = SwitchedFile.regions(in: source, isSwift: path.hasSuffix(".swift"))
      }
      let edit = try hunk.edit(in: sources[path]!)
      var list = found[path] ?? []
      if let index = list.firstIndex(where: { $0.instructionSet == hunk.instructionSet }) {
        list[index].edits.append(edit)
        list[index].edits.sort { $0.range.lowerBound < $1.range.lowerBound }
      } else {
        list.append(FileChange(number: number, instructionSet: hunk.instructionSet, edits: [edit]))
      }
      found[path] = list
    }
    changes[number] = found
    let fits = found.allSatisfy { path, list in
      list.allSatisfy { SwitchedFile.regions(of: $0, among: regions[path]!) != nil }
    }
    if !fits { fixed.insert(number) }
  }

  /// Numbers of the mutants that one build holds.
  var switchable: [Int] { changes.keys.filter { !fixed.contains($0) }.sorted() }

  /// The files of the tree that holds all switchable mutants.
  mutating func files() -> [String: [UInt8]] {
    var byPath: [String: [FileChange]] = [:]
    for number in switchable {
      for (path, list) in changes[number]! { byPath[path, default: []] += list }
    }
    switched = [:]
    for (path, list) in byPath {
      switched[path] = SwitchedFile(
        sources[path]!, isSwift: path.hasSuffix(".swift"), regions: regions[path]!, changes: list)
    }
    return switched.mapValues(\.text)
  }

  /// The same tree with one mutant that cannot be switched: its files hold its change and no other.
  func files(with number: Int, over files: [String: [UInt8]]) -> [String: [UInt8]] {
    var result = files
    for (path, list) in changes[number]! {
      let edits = list.flatMap(\.edits).sorted { $0.range.lowerBound < $1.range.lowerBound }
      result[path] = edits.reversed().reduce(sources[path]!) { $1.applied(to: $0) }
    }
    return result
  }

  /// Gives up switching those that a compiler's errors are about.
  /// - Returns: their numbers; empty if the errors are about none.
  mutating func giveUp(after output: String) -> [Int] {
    var blamed: Set<Int> = []
    for line in output.split(separator: "\n") where line.contains(" error: ") {
      let parts = line.split(separator: ":")
      guard parts.count > 3, let number = Int(parts[1]),
        let path = switched.keys.first(where: { parts[0].hasSuffix("/" + $0) }), let file = switched[path]
      else { continue }
      // What is between the variants may be wrong by any of them: an expression that takes too long, say.
      let owner = file.owners.first { $0.lines.contains(number) }
      blamed.formUnion(owner?.numbers ?? file.owners.flatMap(\.numbers))
    }
    fixed.formUnion(blamed)
    return blamed.sorted()
  }
}
