import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness

/// `--plan`: a file of `vbench tune` that auto follows.
struct PlanFileOption: ParsableArguments {
  @Option(help: ArgumentHelp("A plan file of `vbench tune`, which auto follows.", valueName: "file"))
  var plan: String?

  /// The competitors, auto among them with the file's choices for this machine.
  ///
  /// - Throws: `FileError`; `UsageError` where auto does not take part or several numbers of threads do; `ConvError.unknownName` where
  ///   the file is not for this machine or names an engine that this build has not.
  func apply(to competitors: [Competitor], threads: [Int]) throws -> [Competitor] {
    guard let plan else { return competitors }
    guard let count = threads.first, threads.allSatisfy({ $0 == count }) else {
      throw UsageError(
        "a plan holds for one number of threads, not for \(threads.map(String.init).joined(separator: ", "))")
    }
    guard competitors.contains(where: { $0.backend is AutoBackend }) else {
      throw UsageError("--plan is for auto, which is not among the backends")
    }
    let auto = try AutoBackend(following: ConvPlanFile(path: plan).plan(for: .current(threads: count)))
    return competitors.map { competitor in
      var competitor = competitor
      if competitor.backend is AutoBackend { competitor.backend = auto }
      return competitor
    }
  }
}
