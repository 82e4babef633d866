import ConvCore
import ConvHarness
import Foundation

/// What the words of a command line without an option are: problems, and whatever holds some.
struct ProblemWords {
  /// Problems in either language.
  var problems: [BenchmarkProblem] = []
  /// Names of suites, files of problem lines, patterns of either: as `--suite` takes them.
  var suites: [String] = []
  /// Files of models, as `--onnx` takes them.
  var models: [String] = []

  /// Takes every word for what it is. Networks are none of it: whether their layers or their training steps are meant says `--network`.
  ///
  /// - Throws: `MisplacedNameError` for networks, engines and publications, `UnknownNameError`, `FileError.missingInput` for a path where
  ///   nothing is, `ConvError.malformedProblem` with the place, `.invalidProblem`.
  init(_ words: [String]) throws {
    for word in words { try take(word) }
  }

  private mutating func take(_ word: String) throws {
    let fault: ConvError
    do {
      problems.append(try ProblemFile.parse(word))
      return
    } catch let error as ConvError { fault = error }
    let kinds = NameKind.all(of: word)
    let isFile = FileManager.default.fileExists(atPath: word)
    if kinds.contains(.suite) {
      if kinds.contains(.network) {
        Terminal.warn(
          "note: \(word) is the suite here (--suite \(word)); the network of that name is --network \(word)")
      }
      return suites.append(word)
    }
    if kinds.contains(.model) { return models.append(word) }
    if isFile || (Self.isName(fault) && word.contains { "*?[".contains($0) } && kinds.isEmpty) {
      return suites.append(word)
    }
    if let error = MisplacedNameError(word, wanted: "a problem or a suite", .suite) { throw error }
    // What begins as a problem does is one with a fault in it.
    guard Self.isName(fault) else { throw fault }
    if word.contains("/") || !(word as NSString).pathExtension.isEmpty {
      throw FileError.missingInput(path: word, reason: "is no problem, and no such file is there")
    }
    throw UnknownNameError(
      kind: "problem, suite or file", name: word, known: BenchmarkSuite.builtIn.map(\.name))
  }

  /// Whether nothing of a text was read as a problem before the reader gave up.
  private static func isName(_ fault: ConvError) -> Bool {
    guard case .malformedProblem(let text, let offset, _) = fault else { return false }
    if text.hasPrefix("-") || text.isEmpty { return false }
    if text.hasPrefix("conv") {
      return !text.contains(":") && !text.dropFirst(4).prefix(1).allSatisfy(\.isNumber)
    }
    return offset == 0
  }
}

extension ProblemWords {
  /// What to write instead, where `--onnx` names what is no model; nil where the error says enough.
  static func advice(on path: String, failing error: FileError) -> (any Error)? {
    switch error {
    case .missingInput:
      return MisplacedNameError(path, wanted: "an ONNX model", .model)
    case .malformed(_, let reason):
      guard let suites = try? BenchmarkSuite.selected(by: path),
        suites.contains(where: { !$0.problems.isEmpty })
      else { return nil }
      return FileError.malformed(
        path: path,
        reason: "\(reason); it holds problem lines: write --suite \(ShellText.quoted(path))")
    default: return nil
    }
  }
}

extension BenchmarkSuite {
  /// As `selected`, which knows suites and files only.
  ///
  /// - Throws: what `selected` throws; `MisplacedNameError` for a model, and for the name of a network or an engine.
  static func chosen(by text: String) throws -> [BenchmarkSuite] {
    let isFile = FileManager.default.fileExists(atPath: text)
    if !isFile || NameKind.isModel(text),
      let error = MisplacedNameError(text, wanted: "a suite", .suite)
    {
      throw error
    }
    return try selected(by: text)
  }
}
