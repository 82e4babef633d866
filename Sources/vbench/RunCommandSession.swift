import ConvBackends
import ConvCore
import ConvHarness
import ConvVision
import Foundation

/// Carries out a `vbench run`.
struct RunSession {
  let command: RunCommand
  let plan: RunPlan
  let competitors: [Competitor]
  let settings: RunSettings

  /// Measures everything; Ctrl-C ends it early, with a partial report.
  func run() throws -> RunReport {
    if BuildConfiguration.isDebug { Terminal.warn("note: a debug build verifies, but refuses to time") }
    let peak = BuildConfiguration.isDebug ? 0 : try PeakProbe.measure(pool: settings.pool)
    var report = RunReport(
      environment: environment, command: CommandLine.arguments.map(RunSession.quoted).joined(separator: " "),
      date: ISO8601DateFormatter().string(from: Date()), peak: peak, hasTimes: !BuildConfiguration.isDebug)
    var layers = LayerRun(settings: settings, peak: peak)
    var progress = ProgressBar(total: plan.items.count)
    let start = ContinuousClock.now
    for (index, item) in plan.items.enumerated() {
      if Interruption.isRequested { break }
      let name = item.problem.name.isEmpty ? item.problem.problem.description : item.problem.name
      let elapsed = (ContinuousClock.now - start).seconds
      layers.settings.secondsPerItem = plan.secondsForItem(index, elapsed: elapsed)
      progress.update(index, "\(Int(elapsed)) s, \(item.suite) \(name) \(item.pass.rawValue)")
      report.rows += try layers.rows(
        for: item, competitors: competitors, times: !BuildConfiguration.isDebug,
        shouldStop: { Interruption.isRequested })
    }
    progress.clear()
    if plan.trains && !Interruption.isRequested { try train(&report) }
    report.isPartial = Interruption.isRequested
    return report
  }

  private func train(_ report: inout RunReport) throws {
    let images = try trainingImages()
    report.trainingSource = images.source
    let run = TrainingRun(settings: settings, secondsLimit: plan.trainingSeconds)
    var progress = ProgressBar(total: images.batches.count * competitors.count)
    var done = 0
    report.training = try run.rows(
      images, competitors: competitors, shouldStop: { Interruption.isRequested },
      progress: {
        done += 1
        progress.update(done, $0)
      })
    progress.clear()
    try addTrajectories(&report)
  }

  /// Real images where they are installed or named, else the stored reference batches.
  private func trainingImages() throws -> TrainingImages {
    let directory = command.dataset ?? FashionMNIST.systemDirectory
    if command.dataset != nil || FileManager.default.fileExists(atPath: directory) {
      return try TrainingImages.fashionMNIST(
        directory: directory, batchSize: 64, count: plan.trainingSteps, seed: settings.seed)
    }
    Terminal.warn("note: no Fashion-MNIST in \(directory): training on the reference batches")
    let root = try command.references ?? ReferenceFolder.locate()
    return try TrainingImages.reference(root: root, count: plan.trainingSteps)
  }

  /// The deviation from the stored trajectory of each backend; slow ones go two or three steps.
  private func addTrajectories(_ report: inout RunReport) throws {
    guard let root = try? command.references ?? ReferenceFolder.locate() else {
      Terminal.warn("note: no stored references: training is not compared with a trajectory")
      return
    }
    let trajectory = try Trajectory(path: root + "/trajectories/seed-cnn-adam.safetensors")
    let batches = try TrainingImages.reference(root: root, count: trajectory.steps)
    for i in report.training.indices where report.training[i].problem.isEmpty {
      if Interruption.isRequested { return }
      guard let competitor = competitors.first(where: { $0.label == report.training[i].backend }) else {
        continue
      }
      let step = Statistics.median(
        zip(report.training[i].forward, report.training[i].backward).map { $0 + $1 })
      let steps = step > 1 ? 2 : command.quick || step > 0.25 ? 3 : trajectory.steps
      Terminal.warn("trajectory of \(competitor.label), \(steps) steps")
      do {
        let check = try TrajectoryCheck(
          competitor, trajectory: trajectory, batches: batches, steps: steps, pool: settings.pool)
        report.training[i].trajectoryError = check.error
        if check.verification.verdict != .passed { report.training[i].problem = check.verification.reason }
      } catch let error as ConvError {
        report.training[i].problem = "\(error)"
      }
    }
  }

  private var environment: [(key: String, value: String)] {
    let machine = MachineDescription()
    var facts: [(key: String, value: String)] = [
      (
        "CPU",
        "\(machine.cpu), \(machine.physicalCores.map { "\($0) cores, " } ?? "")\(machine.logicalCores) threads"
      ),
      ("caches", machine.caches.joined(separator: ", ")), ("memory", machine.memory),
      ("system", machine.system), ("instruction set", InstructionSet.current.rawValue),
      ("threads used", "\(settings.pool.threads)"),
      ("vbench", "\(Vbench.version), commit \(machine.commit ?? "unknown"), \(machine.configuration)"),
      ("Swift", machine.swift), ("baseline", settings.baseline), ("seed", "\(settings.seed)"),
    ]
    for library in BackendRegistry.libraries { facts.append((library.name, library.version)) }
    return facts.filter { !$0.value.isEmpty }
  }

  private static func quoted(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isLetter || $0.isNumber || "-_=.,:/+".contains($0) }
    return plain && !text.isEmpty ? text : "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }

  /// The tables for standard output.
  static func summary(_ report: RunReport) -> String {
    var table = TextTable(
      [
        "layer", "pass", "backend", "verdict", "ms", "GFLOP/s", "peak %", "error", "error/bound", "speed-up",
        "",
      ],
      rightAligned: [4, 5, 6, 7, 8, 9])
    for row in report.rows {
      let layer = row.name.isEmpty ? row.problem : "\(row.suite) \(row.name)"
      table.add([
        layer, row.pass.rawValue, row.backend, row.verification.verdict.rawValue,
        RunReport.short(row.medianMilliseconds), RunReport.short(row.gflopsEffective),
        RunReport.short(row.peakPercent), RunReport.short(row.verification.errorMax),
        RunReport.short(row.verification.errorRatio), RunReport.speedup(row.speedup),
        row.speedup?.verdict.rawValue ?? "",
      ])
    }
    var text = report.rows.isEmpty ? "" : table.text + "\n"
    if !report.training.isEmpty {
      var training = TextTable(
        ["network", "backend", "steps", "step ms", "images/s", "loss", "trajectory error", "speed-up", ""],
        rightAligned: [2, 3, 4, 6, 7])
      for row in report.training {
        let seconds = zip(zip(row.forward, row.backward), row.optimizer).map { $0.0 + $0.1 + $1 }
        let median = Statistics.median(seconds)
        training.add([
          row.network, row.backend, "\(row.steps)", RunReport.short(median * 1e3),
          RunReport.short(Double(row.batch) / median),
          row.problem.isEmpty
            ? "\(RunReport.short(row.losses.first)) → \(RunReport.short(row.losses.last))" : row.problem,
          RunReport.short(row.trajectoryError), RunReport.speedup(row.speedup),
          row.speedup?.verdict.rawValue ?? "",
        ])
      }
      text += "\n" + training.text + "\n"
    }
    for row in report.rows where [.failed, .mistrusted].contains(row.verification.verdict) {
      text += "\(row.verification.verdict.rawValue): \(row.verification.reason)\n  \(row.repro)\n"
    }
    return text
  }
}
