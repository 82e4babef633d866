import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// `vbench calibrate`, `--profile` and what a machine without a profile is told.
@Suite struct ProfileCommandTests {
  private static let problem = "conv2d:n1c16h12w12k16r3s3p1"

  /// A profile of a machine that does not exist: free are these kinds, all others dear.
  private func profile(free kinds: [ConvWork.Kind], dear price: Double = 1) -> MachineProfile {
    var prices = WorkPrices()
    for kind in ConvWork.Kind.allCases { prices[kind] = kinds.contains(kind) ? 1e-9 : price }
    return MachineProfile(
      name: "made-up",
      machine: MachineProfile.Machine(
        processor: ProcessorModel(name: "Test CPU", vendor: "Tests", family: 1, model: 2, stepping: 3),
        instructionSet: .avx2, libraryCore: "Testwell"), prices: prices,
      origin: .calibrated(day: "2000-01-02"))
  }

  /// Runs a command with a cache folder of its own.
  private func run(_ arguments: [String], cache: String, isa: String = InstructionSet.current.rawValue) throws
    -> CommandLineRunner.Outcome
  {
    try CommandLineRunner.run(
      arguments, environment: ["XDG_CACHE_HOME": cache, "VBENCH_ISA": isa])
  }

  // MARK: calibrate

  @Test(.enabled(if: BuildConfiguration.isDebug, "an optimised build would calibrate"))
  func aDebugBuildDoesNotCalibrate() throws {
    try withTemporaryFolder { folder in
      let outcome = try run(["calibrate"], cache: folder)
      #expect(outcome.status == 64 && outcome.error.contains("a debug build refuses to time"), "\(outcome)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// A stored run whose rows take ten times as long as the nearest table says.
  private func writeRun(_ folder: String) throws -> [ResultRow] {
    let outcome = try run(
      [
        "run", Self.problem, "conv2d:n1c64h14w14k64r3s3p1", "conv2d:n1c64h14w14k32r1s1",
        "--backends", "direct,winograd,im2col", "--threads", "1", "--format", "nhwc", "--quick", "--output",
        folder,
      ], cache: folder + "-cache")
    #expect(outcome.status == 0, "\(outcome)")
    var report = try RunReport(reading: folder)
    let prices = MachineProfile.known(for: .current).prices
    for i in report.rows.indices {
      let work = try #require(ConvWork(text: report.rows[i].work), "\(report.rows[i].work)")
      report.rows[i].medianMilliseconds = 10 * prices.nanoseconds(work) * 1e-6
    }
    try FileManager.default.removeItem(atPath: folder)
    try report.write(to: folder)
    return report.rows
  }

  @Test func pricesComeFromAStoredRun() throws {
    try withTemporaryFolder { folder in
      let rows = try writeRun(folder + "/run")
      let cache = folder + "/cache"
      let timed = rows.filter { $0.verification.verdict == .passed }
      #expect(timed.count >= 20)
      let outcome = try run(["calibrate", "--from", folder + "/run", "--verbose"], cache: cache)
      #expect(outcome.status == 0, "\(outcome)")
      #expect(outcome.output.contains("\n\(timed.count) plans, "), "\(outcome)")
      #expect(outcome.output.contains("kind of work") && outcome.output.contains("implicitProducts"))
      // Kept for this machine.
      let names = try FileManager.default.contentsOfDirectory(atPath: cache + "/vbench/profiles")
      let path = "\(cache)/vbench/profiles/\(names.first ?? "")"
      let kept = try MachineProfile(path: path)
      #expect(names.count == 1 && names[0] == kept.machine.slug + ".json")
      #expect(outcome.output.hasSuffix("profile: \(path), hash \(kept.hash)\n"), "\(outcome)")
      #expect(kept.machine.processor == .current && kept.machine.instructionSet == .current)
      #expect(kept.name == kept.machine.slug)
      for row in timed {
        let work = try #require(ConvWork(text: row.work))
        let ratio = kept.prices.nanoseconds(work) * 1e-6 / row.medianMilliseconds
        #expect(abs(ratio - 1) < 0.1, "\(row.backend) \(row.problem) \(row.pass): \(ratio)")
      }
      // From now on it is this machine's, of which nothing has to be said.
      let info = try run(["info"], cache: cache)
      #expect(info.output.contains("hash \(kept.hash): calibrated on"), "\(info)")
      let explain = try run(["explain", Self.problem], cache: cache)
      #expect(explain.status == 0 && !explain.error.contains("profile"), "\(explain)")
      // A file of one's own leaves the cache alone.
      let other = folder + "/other"
      let written = try run(
        ["calibrate", "--from", folder + "/run", "-o", folder + "/own.json"], cache: other)
      #expect(written.status == 0, "\(written)")
      #expect(try MachineProfile(path: folder + "/own.json") == kept)
      #expect(!FileManager.default.fileExists(atPath: other))
      // What is kept and no profile is told, and not used.
      try AtomicFile.write("{", to: path)
      let spoilt = try run(["explain", Self.problem], cache: cache)
      #expect(spoilt.status == 0 && spoilt.error.contains("is of no use"), "\(spoilt)")
      #expect(spoilt.error.contains(path), "\(spoilt)")
      // Where nothing can be kept the prices are still told.
      try AtomicFile.write("", to: folder + "/file")
      let unkept = try run(["calibrate", "--from", folder + "/run"], cache: folder + "/file")
      #expect(unkept.status == 0 && unkept.error.contains("for this process only"), "\(unkept)")
    }
  }

  /// Rows without times, of other threads or of another instruction set say nothing.
  @Test func runsWithoutUsableRowsAreRefused() throws {
    try withTemporaryFolder { folder in
      _ = try writeRun(folder + "/run")
      var report = try RunReport(reading: folder + "/run")
      let good = report.rows
      for (name, change) in [
        ("untimed", { $0.medianMilliseconds = .nan }), ("threads", { $0.threads = 2 }),
        ("isa", { $0.isa = "other" }), ("cold", { $0.cache = .cold }), ("workless", { $0.work = "hard" }),
        ("failed", { $0.verification.verdict = .failed }),
      ] as [(String, (inout ResultRow) -> Void)] {
        report.rows = good
        for i in report.rows.indices { change(&report.rows[i]) }
        try report.write(to: "\(folder)/\(name)")
        let outcome = try run(["calibrate", "--from", "\(folder)/\(name)"], cache: folder + "/cache")
        #expect(outcome.status == 64 && outcome.error.contains("no row of one thread"), "\(outcome)")
        #expect(outcome.error.contains("\(folder)/\(name)"))
      }
      let missing = try run(["calibrate", "--from", folder + "/none"], cache: folder + "/cache")
      #expect(missing.status == 66, "\(missing)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/cache"))
    }
  }

  // MARK: --profile

  @Test func predictionsAreThoseOfTheProfile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/p.json"
      for (kinds, engine) in [
        ([ConvWork.Kind.implicitProducts], "direct"), ([.products, .transforms], "winograd"),
      ] {
        let own = profile(free: kinds)
        try own.write(to: path)
        let outcome = try run(
          ["explain", Self.problem, "--passes", "forward", "--profile", path], cache: folder)
        #expect(outcome.status == 0, "\(outcome)")
        let chosen = try AutoBackend(profile: own).plan(
          for: ConvOperation(
            .forward, try ConvProblem(parsing: Self.problem), inputFormat: .nhwc, outputFormat: .nhwc),
          PlanOptions(threads: 1))
        #expect(chosen.executedBy == engine)
        let line = try #require(outcome.output.split(separator: "\n").first { $0.hasPrefix("auto takes") })
        #expect(
          line.hasPrefix("auto takes \(chosen.variant): predicted ms of one core: \(engine) "), "\(outcome)")
        // In order, and with the times of the prices.
        let texts = line.components(separatedBy: "one core: ").last?.components(separatedBy: ", ") ?? []
        let times = texts.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
        #expect(times.count >= 3 && times == times.sorted(), "\(line)")
        let predicted = own.prices.nanoseconds(chosen.work) * 1e-6
        #expect(times.first.map { abs($0 / predicted - 1) < 0.01 } == true, "\(line), \(predicted)")
        // Whose prices these are is told.
        let notes = outcome.error.split(separator: "\n").filter { $0.contains("has the prices of") }
        #expect(notes.count == 1 && notes[0].contains("Test CPU") && notes[0].contains(path), "\(outcome)")
      }
    }
  }

  @Test func whatIsNoProfileEndsTheCommand() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("{\"format\": \"vbench-profile-0\"}", to: folder + "/p.json")
      for arguments in [
        ["explain", Self.problem], ["run", Self.problem, "--quick", "--output", folder + "/r"],
      ] {
        for (name, status) in [("p.json", 65), ("none.json", 66)] {
          let outcome = try run(arguments + ["--profile", "\(folder)/\(name)"], cache: folder)
          #expect(outcome.status == Int32(status) && outcome.error.contains(name), "\(outcome)")
        }
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "/r"))
    }
  }

  /// Two runs can be told to have chosen alike.
  @Test func reportsNameTheProfile() throws {
    try withTemporaryFolder { folder in
      let own = profile(free: [.implicitProducts])
      try own.write(to: folder + "/p.json")
      let outcome = try run(
        [
          "run", Self.problem, "--backends", "auto,naive", "--passes", "forward", "--threads", "1",
          "--quick", "--profile", folder + "/p.json", "--output", folder + "/out",
        ], cache: folder)
      #expect(outcome.status == 0, "\(outcome)")
      let report = try RunReport(reading: folder + "/out")
      let fact = report.environment.first { $0.key == "profile" }?.value
      #expect(fact == "made-up, hash \(own.hash): calibrated on 2000-01-02")
      #expect(try InputFile.text(of: folder + "/out/report.md").contains("made-up, hash \(own.hash)"))
      let row = try #require(report.rows.first { $0.backend == "auto" })
      #expect(row.executedBy.hasPrefix("direct"), "\(row.executedBy)")
      let work = try #require(ConvWork(text: row.work))
      #expect(abs(own.prices.nanoseconds(work) * 1e-6 / row.predictedMilliseconds - 1) < 0.01)
    }
  }

  // MARK: Unknown machines

  /// The vectors of the base on a machine that has more: nobody has measured that.
  @Test(.enabled(if: BuildConfiguration.isDebug, "an optimised build would calibrate"))
  func unknownMachinesAreTold() throws {
    try withTemporaryFolder { folder in
      func note(_ more: [String]) throws -> [Substring] {
        let outcome = try run(["explain", Self.problem] + more, cache: folder + "/cache", isa: "baseline")
        #expect(outcome.status == 0, "\(outcome)")
        return outcome.error.split(separator: "\n").filter { $0.contains("no profile of") }
      }
      for (arguments, reason) in [
        ([String](), "a debug build refuses to time"), (["--no-calibrate"], "--no-calibrate"),
      ] {
        let notes = try note(arguments)
        let text = try #require(notes.first)
        #expect(notes.count == 1 && text.contains("(\(reason))"), "\(notes)")
        #expect(text.contains("no profile of \(ProcessorModel.current), baseline"), "\(text)")
        let other = try #require(text.components(separatedBy: "by the prices of ").last)
        #expect(other.contains("(family ") && !other.contains(", baseline"), "\(text)")
      }
      // Also where auto chooses for layers that an engine declines only.
      let trained = try run(
        [
          "run", "--network", "seed-cnn", "--batch", "2", "--steps", "2", "--backends", "direct",
          "--fallback", "auto",
          "--output", folder + "/out",
        ], cache: folder + "/cache", isa: "baseline")
      #expect(trained.status == 0 && trained.error.contains("no profile of"), "\(trained)")
      // Where nobody chooses nothing is missing.
      #expect(try note(["--backends", "direct,winograd"]).isEmpty)
      #expect(!FileManager.default.fileExists(atPath: folder + "/cache"))
    }
  }

  // MARK: explain

  /// What auto leaves out is said with the reason, and is not among the predictions.
  @Test func explainSaysWhatIsLeftOut() throws {
    try withTemporaryFolder { folder in
      try profile(free: [.products, .transforms]).write(to: folder + "/p.json")
      func explain(_ problem: String) throws -> (choice: String, leftOut: [String]) {
        let outcome = try run(
          ["explain", problem, "--passes", "forward", "--profile", folder + "/p.json"], cache: folder)
        #expect(outcome.status == 0, "\(outcome)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        return (
          try #require(lines.first { $0.hasPrefix("auto takes ") }),
          lines.filter { $0.hasPrefix("auto leaves out ") }
        )
      }
      let long = try explain("conv2d:n1c201h12w12k8r5s5p2")
      #expect(long.leftOut.count == 1 && long.leftOut[0].contains("winograd[tile=4x4]: sums of 201 terms"))
      #expect(!long.choice.contains("tile=4x4]") && !long.choice.contains("least"), "\(long)")
      let short = try explain("conv2d:n1c200h12w12k8r5s5p2")
      #expect(short.leftOut.isEmpty && short.choice.contains(" winograd[tile=4x4] "), "\(short)")
      let single = try explain("conv2d:n1c16h12w12k16r1s1")
      #expect(
        single.leftOut.count == 2 && single.leftOut.allSatisfy { $0.contains("a single tap") }, "\(single)")
      #expect(!single.choice.contains("winograd"), "\(single)")
    }
  }
}
