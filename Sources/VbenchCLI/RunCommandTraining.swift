import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvVision
import Foundation

/// How `vbench run` trains.
struct TrainingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Runs the layers of networks that an engine declines; without it such an engine's row says why it cannot.",
      valueName: "engine"), completion: Completions.engine)
  var fallback: String?

  @Option(
    help: ArgumentHelp(
      "Training steps of every engine, the first untimed; without it at most 25 within 12 seconds for all of a network, 6 within 4 with --quick.",
      valueName: "count"))
  var steps: Int?

  func validate() throws {
    if let steps, !(2...1_000_000).contains(steps) {
      throw ValidationError("--steps \(steps): 2 to 1000000 are possible")
    }
  }

  /// The engine that `--fallback` means.
  func competitor() throws -> Competitor? { try fallback.map { try NameList.competitor($0) } }
}

extension RunSession {
  /// Images per step.
  func trainingBatch(of network: ImageNetwork) -> Int { command.selection.batch ?? network.batch }

  /// Training steps of all networks of the plan, and their trajectories where some are stored.
  func train(_ report: inout RunReport, _ noise: inout NoiseWatch) throws {
    for network in plan.networks where !Interruption.isRequested {
      let images = try trainingImages(network)
      report.trainingSource = images.source
      let run = TrainingRun(
        settings: settings, secondsLimit: plan.trainingSeconds, network: network, fallback: fallback)
      var progress = ProgressBar(total: images.batches.count * competitors.count)
      var done = 0
      var forecast = TrainingForecast(
        engines: competitors.count, steps: images.batches.count, seconds: plan.trainingSeconds)
      var rows = try run.rows(
        images, competitors: competitors, shouldStop: { Interruption.isRequested },
        seesPeak: { noise.add(peak: $0, threads: settings.pool.threads) },
        progress: { engine, text in
          done += 1
          progress.update(done, secondsLeft: forecast.secondsLeft(beginning: engine), text)
        })
      progress.clear()
      try addTrajectories(network, fallback, &rows)
      // An engine that the trajectory finds wrong is not the best.
      TrainingRow.compare(&rows, baseline: settings.baseline, seed: settings.seed)
      report.training += rows
    }
  }

  /// Real images where they are installed or named, else the stored reference batches.
  private func trainingImages(_ network: ImageNetwork) throws -> TrainingImages {
    let batch = trainingBatch(of: network)
    let directory = command.dataset ?? FashionMNIST.systemDirectory
    if command.dataset != nil || FileManager.default.fileExists(atPath: directory) {
      return try TrainingImages.fashionMNIST(
        directory: directory, batchSize: batch, count: plan.trainingSteps, seed: settings.seed,
        network: network)
    }
    Terminal.warn("note: no Fashion-MNIST in \(directory): training on the reference batches")
    let root = try command.references.folder()
    return try TrainingImages.reference(root: root, count: plan.trainingSteps)
      .fitted(to: network, batch: min(batch, 64))
  }

  /// The steps of each backend beside the stored ones; slow ones go two or three steps.
  private func addTrajectories(
    _ network: ImageNetwork, _ fallback: Competitor?, _ rows: inout [TrainingRow]
  ) throws {
    let root: String
    do {
      root = try command.references.folder()
    } catch {
      return Terminal.warn("note: training is not compared with a trajectory: \(error)")
    }
    guard let trajectory = try Trajectory.stored(of: network, root: root) else {
      Terminal.warn("note: no stored trajectory of \(network.name)")
      return
    }
    let batches = try TrainingImages.reference(root: root, count: trajectory.steps)
    for i in rows.indices where rows[i].problem.isEmpty && rows[i].declined.isEmpty {
      if Interruption.isRequested { return }
      guard let competitor = competitors.first(where: { $0.label == rows[i].backend }) else { continue }
      let step =
        Statistics.median(zip(rows[i].forward, rows[i].backward).map { $0 + $1 }) * Double(trajectory.batch)
        / Double(max(1, rows[i].batch))
      let steps = step > 1 ? 2 : command.quick || step > 0.25 ? 3 : trajectory.steps
      Terminal.warn(
        "trajectory of \(network.name) on \(competitor.label), \(min(steps, trajectory.steps)) steps")
      do {
        let check = try TrajectoryCheck(
          competitor, fallback: fallback, trajectory: trajectory, batches: batches, steps: steps,
          pool: settings.pool)
        rows[i].trajectoryError = check.error
        rows[i].trajectory = TrajectoryRecord(check, trajectory)
        if check.verification.verdict != .passed { rows[i].problem = check.verification.reason }
      } catch let error as ConvError {
        rows[i].problem = "\(error)"
      }
    }
  }
}
