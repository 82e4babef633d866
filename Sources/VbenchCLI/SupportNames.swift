import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// What a word on the command line may be the name of.
enum NameKind: CaseIterable {
  case suite, network, engine, paper, model

  /// All kinds that have something of that name; a model is known by the end of its file's name.
  static func all(of word: String) -> [NameKind] {
    let engine = word.prefix { $0 != "[" }
    return allCases.filter { kind in
      switch kind {
      case .suite: BenchmarkSuite.builtIn.contains { $0.name == word }
      case .network: ImageNetwork.named(word) != nil
      case .engine: BackendRegistry.names.contains(String(engine))
      case .paper: PaperPack.all.contains { $0.name == word }
      case .model: isModel(word)
      }
    }
  }

  /// Whether a path is that of an ONNX model, by the end of its name.
  static func isModel(_ path: String) -> Bool { path.lowercased().hasSuffix(".onnx") }

  /// As in `a suite`.
  var text: String {
    switch self {
    case .suite: "a suite"
    case .network: "a network"
    case .engine: "an engine"
    case .paper: "a publication"
    case .model: "an ONNX model"
    }
  }

  /// Where a name has been met, for what is to be written instead.
  enum Place {
    /// Commands that take problems from `ProblemOptions`, and engines by `--backends`.
    case selection
    case train, list, paper, check
  }

  /// What to write for that name there.
  func words(for word: String, in place: Place) -> String {
    let word = ShellText.quoted(word)
    return switch (self, place) {
    case (.suite, .selection): "--suite \(word)"
    case (.network, .selection): "--network \(word)"
    case (.model, .selection): "--onnx \(word)"
    case (.engine, .selection), (.engine, .paper), (.engine, .check): "--backends \(word)"
    case (.engine, .train): "--backend \(word)"
    case (.engine, .list): "vbench list backends"
    case (.suite, .list): "vbench run --suite \(word) --list"
    case (.network, .list): "vbench explain --network \(word) --list"
    case (.model, .list): "vbench run --onnx \(word) --list"
    case (.paper, .list): "vbench paper \(word) --list"
    case (.suite, _): "vbench run --suite \(word)"
    case (.network, _): "vbench train \(word)"
    case (.model, _): "vbench run --onnx \(word)"
    case (.paper, _): "vbench paper \(word)"
    }
  }
}

/// A name that is known, but of something else than what is wanted at its place; says what to write instead.
struct MisplacedNameError: StatusError, CustomStringConvertible {
  let name: String
  /// As in `a suite`.
  let wanted: String
  let kinds: [NameKind]
  let place: NameKind.Place
  var exitStatus: ExitStatus { .usage }

  /// Nil where nothing is known of that name, or where it is one of what is wanted.
  ///
  /// - Parameter kind: what is wanted.
  init?(_ name: String, wanted: String, _ kind: NameKind?, in place: NameKind.Place = .selection) {
    let kinds = NameKind.all(of: name)
    if kinds.isEmpty || kind.map(kinds.contains) ?? false { return nil }
    (self.name, self.wanted, self.kinds, self.place) = (name, wanted, kinds, place)
  }

  var description: String {
    let what = kinds.map { "\($0.text): write \($0.words(for: name, in: place))" }
    return "\(QuotedText.quoted(name)) is not \(wanted) but \(what.joined(separator: ", or "))"
  }
}
