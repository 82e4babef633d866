import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// What a shell offers when somebody presses the tab key (`vbench --generate-completion-script bash`). The closures are asked with
/// the words of the command line, the index of the one that is written and what of it stands before the cursor.
enum Completions {
  typealias Closure = @Sendable ([String], Int, String) -> [String]

  /// Engines between commas; their variants where one of them is begun.
  static let engines: Closure = { _, _, prefix in
    list(prefix) { word in
      guard let open = word.firstIndex(of: "[") else { return BackendRegistry.names + ["all"] }
      let variants = AutoBackend.tuningCandidates.map { "\($0)" }
      return variants.filter { $0.hasPrefix(word[...open]) }
    }
  }

  /// Networks between commas.
  static let networks: Closure = { _, _, prefix in list(prefix) { _ in ImageNetwork.all.map(\.name) } }

  /// Suites, and files of problem lines.
  static let suites: Closure = { _, _, prefix in BenchmarkSuite.builtIn.map(\.name) + files(prefix) }

  /// What may stand without an option: problems are nobody's to guess, suites and files are known.
  static let problems: Closure = { words, index, prefix in suites(words, index, prefix) }

  /// Layers, between commas, of the publication that the command line names.
  static let layersOfPaper: Closure = { words, _, prefix in
    let packs = PaperPack.all.filter { words.contains($0.name) }
    return list(prefix) { _ in packs.flatMap { $0.layers.map(\.name) } }
  }

  /// An enumeration's names between commas.
  static func values<Value: RawRepresentable & CaseIterable>(of type: Value.Type) -> Closure
  where Value.RawValue == String {
    let names = Value.allCases.map(\.rawValue)
    return { _, _, prefix in list(prefix) { _ in names } }
  }

  /// The engines of this build, one of which is meant.
  static var engine: CompletionKind { .list(BackendRegistry.names) }

  /// The list so far with each name that its last word may become.
  private static func list(_ prefix: String, _ names: (String) -> [String]) -> [String] {
    var (depth, lead) = (0, prefix.startIndex)
    for index in prefix.indices {
      if prefix[index] == "[" { depth += 1 }
      if prefix[index] == "]" { depth -= 1 }
      if prefix[index] == "," && depth == 0 { lead = prefix.index(after: index) }
    }
    let word = String(prefix[lead...])
    return names(word).filter { $0.hasPrefix(word) }.map { prefix[..<lead] + $0 }
  }

  /// Files and folders (with a slash) that a path may become.
  private static func files(_ prefix: String) -> [String] {
    let slash = prefix.lastIndex(of: "/")
    let folder = slash.map { String(prefix[...$0]) } ?? ""
    let name = slash.map { prefix[prefix.index(after: $0)...] } ?? prefix[...]
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
    return entries.sorted().filter { $0.hasPrefix(name) && (name.hasPrefix(".") || !$0.hasPrefix(".")) }.map {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: folder + $0, isDirectory: &isFolder)
      return folder + $0 + (isFolder.boolValue ? "/" : "")
    }
  }
}
