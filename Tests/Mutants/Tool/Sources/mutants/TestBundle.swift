import Foundation

/// The tests as built in a tree.
struct TestBundle: Sendable {
  var folder: URL
  var logs: URL
  /// Seconds after which tests that stand still are ended.
  var limit: Int

  static let traits = ["--traits", "default,OneDNN"]

  /// Builds the tests; the compiler's output where that fails.
  func build(log: String) throws -> String? {
    let result = try runProgram(
      // SwiftPM passes traits in the order of a hashed set: without this half of the builds would start from scratch.
      ["SWIFT_DETERMINISTIC_HASHING=1", "swift", "build", "--build-tests"] + Self.traits, in: folder,
      log: logs.appending(path: log + ".build"))
    return result.status == 0 ? nil : result.output
  }

  private func program() throws -> String {
    let debug = folder.appending(path: ".build/debug")
    let names = try FileManager.default.contentsOfDirectory(atPath: debug.path)
    guard let name = names.first(where: { $0.hasSuffix("PackageTests.xctest") }) else {
      throw MutantError.malformed(debug.path, "no tests are built there")
    }
    return debug.appending(path: name).path
  }

  /// One line per test: what filters are matched against.
  func list() throws -> [Substring] {
    let result = try runProgram(
      [try program(), "--testing-library", "swift-testing", "--list-tests"], in: folder)
    return result.output.split(separator: "\n")
  }

  /// Runs the tests of some filters without a mutant: those that failed.
  func failures(of filters: [String], log: String) throws -> [String] {
    let result = try run(filters, mutant: nil, log: log, stopsAtFailure: false)
    let failed = result.output.split(separator: "\n").compactMap { Self.failedTest(in: String($0)) }
    return result.status == 0
      ? [] : failed.isEmpty ? ["the process ended with status \(result.status)"] : failed
  }

  /// What the tests say of a mutant that is switched on, or, with `number` 0, built in.
  func judge(_ mutant: Mutant, number: Int) -> Outcome {
    let start = ContinuousClock.now
    let mark = logs.appending(path: mutant.name + ".reached")
    try? FileManager.default.removeItem(at: mark)
    let verdict: Verdict
    do {
      let result = try run([mutant.filter], mutant: (number, mark), log: mutant.name, stopsAtFailure: true)
      let failed = result.output.split(separator: "\n").lazy.compactMap { Self.failedTest(in: String($0)) }
        .first
      if let failed {
        verdict = .caught(by: failed)
      } else if result.status == 124 || result.status == 137 {
        verdict = .caught(by: "no end within \(limit) s")
      } else if result.status != 0 {
        let began = result.output.contains("Test run started")
        verdict =
          began
          ? .caught(by: "the test process crashed") : .error("the tests did not start: \(result.status)")
      } else if result.output.firstMatch(of: /Test run with [1-9][0-9]* test/) == nil {
        verdict = .error("the filter '\(mutant.filter)' ran no test")
      } else {
        let reached = number > 0 ? FileManager.default.fileExists(atPath: mark.path) : nil
        verdict = .survived(reached: reached)
      }
    } catch {
      verdict = .error("\(error)")
    }
    try? FileManager.default.removeItem(at: mark)
    return Outcome(mutant: mutant, verdict: verdict, seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  private func run(
    _ filters: [String], mutant: (number: Int, mark: URL)?, log: String, stopsAtFailure: Bool
  ) throws -> Finished {
    // The bundle runs by itself: `swift test` plans a build before it runs anything.
    try runProgram(
      [
        "timeout", "-k", "5", "\(limit)", "stdbuf", "-oL", try program(), "--testing-library",
        "swift-testing",
      ]
        + filters.flatMap { ["--filter", $0] },
      in: folder,
      environment: [
        "SWIFT_DETERMINISTIC_HASHING": nil, "VBENCH_MUTANT": mutant.map { "\($0.number)" },
        "VBENCH_MUTANT_REACHED": mutant?.mark.path,
      ],
      log: logs.appending(path: log + ".test"),
      stoppingAt: stopsAtFailure ? { Self.failedTest(in: $0) != nil } : nil)
  }

  /// The test that a line of output says has failed.
  private static func failedTest(in line: String) -> String? {
    line.firstMatch(of: /Test (?:case passing .* to )?(.+?) (?:failed after|recorded an issue)/).map {
      String($0.1)
    }
  }
}
