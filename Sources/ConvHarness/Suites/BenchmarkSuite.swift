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
  /// The largest multiplicity that files may state: all that they can hold together can be counted.
  static let largestMultiplicity = 1 << 32
  /// The nodes of the model that have this shape, where it was read from one.
  public var nodes: [String] = []
  /// Whether it stands for a transposed convolution: `problem` is the one whose backward-data pass that is, so that forward and
  /// backward-data change places.
  public var isTransposed = false
  /// Passes that the suite's file restricts the problem to; nil: none.
  public var passes: [ConvPass]?
  /// Memory formats that the suite's file asks for; nil among them stands for those of the command line.
  public var formats: [MemoryFormat?] = [nil]

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
  /// What a reader has to say about the suite: options without a meaning here, problems that are left out.
  public var notes: [String] = []
  /// Why a file has no problems, as a sentence; nil where it has some.
  public var absence: String?
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

  /// The suite of that name: one that is built in, else a file of problem lines with all files that it reads.
  ///
  /// - Throws: `HarnessError.unknownName` where there is neither; `FileError.malformed` for a file without problems; what
  ///   `ProblemFile.read` throws.
  public static func named(_ name: String) throws -> BenchmarkSuite {
    if let suite = builtIn.first(where: { $0.name == name }) { return suite }
    let suites = try file(name)
    if let absence = suites.first?.absence { throw FileError.malformed(path: name, reason: absence) }
    let problems = suites.flatMap(\.problems)
    var suite = BenchmarkSuite(
      name: name, summary: "\(problems.count) problems of \(name)", problems: problems)
    suite.notes = suites.flatMap(\.notes)
    return suite
  }

  /// The suites of a file.
  static func file(_ path: String) throws -> [BenchmarkSuite] {
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) {
      if isDirectory.boolValue {
        throw FileError.missingInput(path: path, reason: "is a folder, a file of problem lines is needed")
      }
      return try ProblemFile.read(path: path)
    }
    if path.contains("/") {
      throw FileError.missingInput(path: path, reason: "no such file")
    }
    throw HarnessError.unknownName(
      kind: "suite", name: path, known: NearNames.sorted(builtIn.map(\.name), by: path))
  }
}
