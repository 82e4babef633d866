import ConvCore
import Foundation

/// A problem with the name that it has in its network and how often it occurs there.
public struct BenchmarkProblem: Hashable, Sendable {
  /// The shape.
  public var problem: ConvProblem
  /// As the network calls it: `conv3_2`, `res4a_branch2b`.
  public var name: String
  /// How many layers of the network have this shape.
  public var multiplicity: Int

  /// A problem that occurs once unless said otherwise.
  public init(_ problem: ConvProblem, name: String = "", multiplicity: Int = 1) {
    self.problem = problem
    self.name = name
    self.multiplicity = multiplicity
  }
}

/// A named list of problems.
public struct BenchmarkSuite: Hashable, Sendable {
  /// The name on the command line, or the file's path.
  public var name: String
  /// One line for lists.
  public var summary: String
  /// The problems in the network's order.
  public var problems: [BenchmarkProblem]
  /// Names of the problems that stand for the suite in the default job, and the batch that they run at there.
  public var representatives: [(name: String, batch: Int)] {
    BenchmarkSuite.representativeNames[name] ?? problems.prefix(2).map { ($0.name, $0.problem.n) }
  }

  /// A suite of the given problems.
  public init(name: String, summary: String, problems: [BenchmarkProblem]) {
    self.name = name
    self.summary = summary
    self.problems = problems
  }

  /// The suite that a command line names: one that is built in, else a file of problem lines.
  ///
  /// - Throws: `HarnessError.unknownName` where there is neither; what `ProblemFile.read` throws.
  public static func named(_ name: String) throws -> BenchmarkSuite {
    if let suite = builtIn.first(where: { $0.name == name }) { return suite }
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: name, isDirectory: &isDirectory) {
      if isDirectory.boolValue {
        throw FileError.missingInput(path: name, reason: "is a folder, a file of problem lines is needed")
      }
      return try ProblemFile.read(path: name)
    }
    if name.contains("/") {
      throw FileError.missingInput(path: name, reason: "no such file")
    }
    throw HarnessError.unknownName(
      kind: "suite", name: name, known: NearNames.sorted(builtIn.map(\.name), by: name))
  }
}
