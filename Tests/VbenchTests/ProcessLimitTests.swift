import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What the system allows a process: processors, threads, memory, files, stack.
@Suite struct ProcessLimitTests {
  private static let problem = "conv2d:n1c8h12w12k8r3s3p1"

  /// Runs the command under what a shell sets up first.
  private func run(
    after setup: String, _ arguments: [String], environment: [String: String] = [:]
  ) throws -> CommandLineRunner.Outcome {
    var environment = environment
    // A crash is found by its status; what it would print about itself takes minutes in little memory.
    environment["SWIFT_BACKTRACE"] = "enable=no"
    return try CommandLineRunner.run(
      ["-c", "\(setup) && exec \"$0\" \"$@\"", CommandLineRunner.executable] + arguments,
      environment: environment,
      executable: "/bin/bash")
  }

  @Test func oneAllowedProcessorIsOneWorker() throws {
    let cpu = Processors.current.allowed[0]
    let outcome = try run(after: "taskset -p -c \(cpu) $$ > /dev/null", ["info"])
    #expect(outcome.status == 0, "\(outcome)")
    #expect(outcome.output.contains(#/worker threads +1\n/#), "\(outcome)")
    #expect(outcome.output.contains("1 thread available (CPU \(cpu)"), "\(outcome)")
  }

  /// Every command that takes threads, as far as it comes in a debug build.
  @Test(
    arguments: [
      ["explain", problem, "--backends", "im2col"],
      ["check", "--invariance", problem, "--backends", "im2col"],
      ["run", problem, "--backends", "im2col", "--output"], ["train", "seed-cnn", "--dataset", "/nowhere"],
      ["compare", "--suite", "seed-cnn", "--peer", "/bin/false", "--output"],
      ["tune", "seed-cnn", "--output"], ["agreement", "--output"],
    ])
  func tooManyThreadsAreNoted(_ arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let outputs = arguments.last == "--output" ? ["\(folder)/out"] : []
      let outcome = try CommandLineRunner.run(arguments + outputs + ["--threads", "31"])
      let count = Processors.current.count
      #expect(
        outcome.error.contains("note: 31 threads on \(count) processor") == (count < 31), "\(outcome)")
    }
  }

  @Test func tooManyThreadsOfTheEnvironmentAreNoted() throws {
    for arguments in [["info"], ["check", "--invariance", Self.problem, "--backends", "im2col"]] {
      let outcome = try CommandLineRunner.run(arguments, environment: ["VBENCH_THREADS": "29"])
      #expect(
        outcome.error.contains("note: 29 threads on ") == (Processors.current.count < 29), "\(outcome)")
    }
  }

  @Test func tooFewFilesAreAnErrorInWords() throws {
    for arguments in [["info"], ["list", "suites"]] {
      let outcome = try run(after: "ulimit -n 8", arguments)
      #expect(outcome.status == 71 && outcome.error.contains("open files at once (ulimit -n)"), "\(outcome)")
    }
    // A soft limit is raised.
    #expect(try run(after: "ulimit -S -n 8", ["info"]).status == 0)
  }

  @Test func tooLittleStackIsAnErrorInWords() throws {
    let outcome = try run(after: "ulimit -s 256", ["info"])
    #expect(outcome.status == 71 && outcome.error.contains("bytes of stack (ulimit -s)"), "\(outcome)")
    #expect(try run(after: "ulimit -S -s 256", ["info"]).status == 0)
    // The stacks of workers are their own.
    #expect(
      try run(
        after: "ulimit -S -s 256",
        ["check", "--invariance", Self.problem, "--backends", "im2col", "--threads", "2"]
      ).status == 0)
  }

  /// Whatever addresses there are: the answer, or an error in words, never the end by a signal. What does not suffice for the
  /// executable's libraries (127, said by the system's loader) is not ours.
  @Test(
    arguments: [250_000, 330_000, 400_000, 470_000, 600_000, 900_000, 1_500_000],
    [
      ["info"], ["list", "suites"], ["explain", problem, "--backends", "im2col,winograd,direct"],
      ["check", "--invariance", problem, "--backends", "im2col,winograd,direct", "--threads", "2"],
      ["run", "conv2d:n16c64h112w112k64r3s3p1", "--backends", "im2col", "--threads", "2", "--output"],
    ])
  func littleMemoryIsAnErrorInWords(_ kibibytes: Int, _ arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let outputs = arguments.last == "--output" ? ["\(folder)/out"] : []
      let outcome = try run(after: "ulimit -v \(kibibytes)", arguments + outputs)
      let place: Comment = "ulimit -v \(kibibytes): \(outcome)"
      #expect([0, 71, 127].contains(outcome.status), place)
      #expect(outcome.status != 71 || outcome.error.contains("error: "), place)
      #expect(outcome.status != 127 || outcome.error.contains("shared librar"), place)
    }
  }

  /// What OpenBLAS would wait for is asked for before.
  @Test func librariesAreLeftTheirAddresses() throws {
    let few = MemoryAllowance(physical: nil, addresses: 100 << 20)
    let many = MemoryAllowance(physical: nil, addresses: 16 << 30)
    #expect(throws: StartLimits.LimitError.self) {
      try StartLimits.requireAddresses(multipliers: 4, processors: 4, few)
    }
    try StartLimits.requireAddresses(multipliers: 4, processors: 4, many)
  }
}
