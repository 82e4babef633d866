import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

@testable import VbenchCLI

/// Sources without problems beside others: named with the reason, and no error unless all are.
@Suite struct ProblemSourceTests {
  private let problem = BenchmarkProblem(
    try! ConvProblem(parsing: "conv2d:n1c3h8w8k4r3s3p1"), name: "only")

  @Test func anEmptySourceIsNamed() throws {
    var sources = ProblemSources()
    try sources.add("none", [], absence: "it holds nothing")
    try sources.add("some", [problem])
    let (layers, notes) = try sources.finish(match: nil)
    #expect(layers.map(\.suite) == ["some"] && notes == ["none: it holds nothing"])
  }

  @Test func whatDoesNotMatchIsNamed() throws {
    var sources = ProblemSources(pattern: try ProblemPattern("^a$"))
    try sources.add("some", [BenchmarkProblem(problem.problem, name: "a"), problem])
    for i in 0..<12 { try sources.add("other\(i)", [problem, problem]) }
    try sources.add("unnamed", [problem], isNamed: false)
    let (layers, notes) = try sources.finish(match: "^a$")
    #expect(layers.map(\.problem.name) == ["a"] && notes.count == 1)
    let note = notes.first ?? ""
    #expect(note.hasPrefix("--match '^a$' matches none of the problems of other0 (2), other1 (2), "))
    #expect(note.hasSuffix("other9 (2), … (12 in all)"))
  }

  /// The limit is one of those that match.
  @Test func limitsCountWhatMatches() throws {
    var sources = ProblemSources(pattern: try ProblemPattern("^a"))
    let names = ["b", "a1", "b", "a2", "a3"]
    try sources.add("some", names.map { BenchmarkProblem(problem.problem, name: $0) }, limit: 2)
    #expect(try sources.finish(match: "^a").layers.map(\.problem.name) == ["a1", "a2"])
  }

  @Test func whereAllAreEmptyEachIsNamed() throws {
    var sources = ProblemSources()
    try sources.add("one", [], absence: "it is empty")
    #expect {
      try sources.finish(match: nil)
    } throws: { "\($0)" == "one: it is empty" && ExitStatus(of: $0) == .malformedFile }
    try sources.add("two", [], absence: "it holds only options")
    #expect {
      try sources.finish(match: nil)
    } throws: {
      "\($0)"
        == "none of 2 sources holds a problem that can be run\n  one: it is empty\n  two: it holds only options"
    }
    // Where some hold problems that do not match, the expression is to blame, and the empty ones are named all the same.
    var unmatched = ProblemSources(pattern: try ProblemPattern("z"))
    try unmatched.add("one", [], absence: "it is empty")
    try unmatched.add("two", [problem])
    #expect {
      try unmatched.finish(match: "z")
    } throws: {
      "\($0)".contains("'z' matches none of 1 problems") && "\($0)".contains("one: it is empty")
        && ExitStatus(of: $0) == .usage
    }
    #expect(try ProblemSources().finish(match: nil).layers.isEmpty)
  }

  @Test func filesWithoutProblemsBesideOthers() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("mb1ic3ih8oc4kh3ph1\n", to: folder + "/shapes_a")
      try AtomicFile.write("# nothing\n", to: folder + "/shapes_b")
      try AtomicFile.write("--dt=bf16 mb1ic3ih8oc4kh3ph1\n", to: folder + "/shapes_c")
      func list(_ arguments: [String]) throws -> CommandLineRunner.Outcome {
        try CommandLineRunner.run(["run", "--list", "--passes", "forward"] + arguments)
      }
      for arguments in [
        ["--suite", folder + "/shapes_*"],
        ["--suite", folder + "/shapes_b", "--suite", folder + "/shapes_c", "--suite", folder + "/shapes_a"],
      ] {
        let outcome = try list(arguments)
        #expect(outcome.status == 0 && outcome.output.contains("\n1 problems, 1 layers"), "\(outcome)")
        #expect(
          outcome.error.contains("note: \(folder)/shapes_b: it holds no problem, only comments"), "\(outcome)"
        )
        #expect(
          outcome.error.contains("note: \(folder)/shapes_c: it holds no problem that can be run; 1"),
          "\(outcome)")
        #expect(outcome.error.contains("--dt=bf16 asks for other element types"), "\(outcome)")
      }
      let none = try list(["--suite", folder + "/shapes_[bc]"])
      #expect(none.status == 65 && none.output.isEmpty, "\(none)")
      for name in ["shapes_b", "shapes_c"] {
        #expect(none.error.contains("\n  \(folder)/\(name): it holds"), "\(none)")
      }
      let filtered = try list(["--suite", folder + "/shapes_a", "--suite", "vgg16", "--match", "^5_1"])
      #expect(
        filtered.status == 0 && filtered.error.contains("problems of \(folder)/shapes_a (1)"), "\(filtered)")
    }
  }

  /// Names come from files; a terminal obeys nothing in them.
  @Test func tablesShowControlCharacters() {
    var table = TextTable(["name", "n"], rightAligned: [1])
    table.add(["a\u{1B}[2J\nb", "1"])
    table.add(["c", "10"])
    #expect(table.text == "name            n\na\\u{1b}[2J\\nb   1\nc              10")
    #expect(table.csv == "name,n\na\\u{1b}[2J\\nb,1\nc,10")
  }
}
