import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

/// How much wider the allowances of whole steps are than what honest engines do.
///
/// `VBENCH_ALLOWANCES=FILE swift test --filter AllowanceTests` writes the table, of all engines, networks and steps.
@Suite struct AllowanceTests {
  struct Row {
    let reference, engine: String
    let kappa: Double
    let level: Int?
    /// allowed / found of every quantity that deviates at all.
    let quotients: [Double]
    let error: Double
    var median: Double { Statistics.median(quotients) }
  }

  static let table = ProcessInfo.processInfo.environment["VBENCH_ALLOWANCES"]
  static let engines = ["im2col", "direct", "winograd", "fft", "auto"]

  private static func quotients(_ quantities: [TrajectoryCheck.Deviation]) -> [Double] {
    quantities.filter { $0.found != $0.expected }.map { 1 / $0.ratio }
  }

  private func competitor(_ engine: String) throws -> Competitor {
    let selection = try BackendRegistry.named(engine)
    return Competitor(selection.backend, variant: selection.variant)
  }

  private func trajectory(_ file: String, _ engine: String, steps: Int?) throws -> Row {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors")
    let check = try TrajectoryCheck(
      competitor(engine),
      fallback: Competitor(BackendRegistry.named("direct").backend), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: trajectory.steps), steps: steps)
    return Row(
      reference: file, engine: engine, kappa: check.kappa, level: check.level,
      quotients: Self.quotients(check.quantities), error: check.error)
  }

  private func step(_ network: String, _ engine: String) throws -> Row {
    let check = try NetworkCheck(
      competitor(engine),
      fallback: Competitor(BackendRegistry.named("direct").backend),
      reference: NetworkReference(path: "\(referencesRoot)/networks/\(network).safetensors"))
    return Row(
      reference: "\(network), one step", engine: engine, kappa: check.kappa, level: check.level,
      quotients: Self.quotients(check.quantities), error: check.deviations.map(\.ratio).max() ?? .nan)
  }

  /// 30 times in the median over engines and references of the medians over their quantities: a network of many parameters counts no
  /// more than another.
  @Test func allowancesAreNearWhatHappens() throws {
    var rows: [Row] = []
    var wide: [Row] = []
    for engine in WideVariants.all where Self.table != nil {
      for file in TrajectoryTests.files { wide.append(try trajectory(file, engine, steps: nil)) }
      for network in NetworkReferenceTests.networks { wide.append(try step(network, engine)) }
    }
    for engine in Self.engines {
      if Self.table == nil {
        rows.append(try trajectory("seed-cnn-sgd", engine, steps: 3))
        rows.append(try trajectory("lenet-adam", engine, steps: 5))
        rows.append(try step("lenet", engine))
        rows.append(try step("resnet18", engine))
      } else {
        for file in TrajectoryTests.files { rows.append(try trajectory(file, engine, steps: nil)) }
        for network in NetworkReferenceTests.networks { rows.append(try step(network, engine)) }
      }
    }
    let all = Statistics.median(rows.map(\.median))
    if let table = Self.table {
      try markdown(rows, wide, all).write(toFile: table, atomically: true, encoding: .utf8)
    }
    #expect(all > 1 && all <= 30, "\n\(markdown(rows, [], all))")
    #expect(rows.allSatisfy { $0.error <= 1 })
  }

  /// - Parameter wide: of variants that nobody takes by themselves; they do not count.
  private func markdown(_ rows: [Row], _ wide: [Row], _ all: Double) -> String {
    func short(_ value: Double) -> String { String(format: "%.3g", value) }
    var text = """
      # What is allowed beside what deviates

      Whole training steps and trajectories of every engine, those that decline a layer with `direct` as their fallback, and
      variants with wide bounds that nobody takes by himself (they do not count in the medians). Made by
      `VBENCH_ALLOWANCES=FILE swift test --filter AllowanceTests`; README.md says what the columns rest on.


      """
    text +=
      "| reference | engine | κ | level | quantities | allowed / found: least | median | largest ratio |\n"
    text += "|---|---|---|---|---|---|---|---|\n"
    for row in (rows + wide).sorted(by: { ($0.reference, $0.engine) < ($1.reference, $1.engine) }) {
      text +=
        "| \(row.reference) | `\(row.engine)` | \(short(row.kappa)) | \(row.level.map(String.init) ?? "–") "
      text += "| \(row.quotients.count) | \(short(row.quotients.min() ?? .nan)) "
      text += "| \(short(row.median)) | \(short(row.error)) |\n"
    }
    let quotients = rows.flatMap(\.quotients)
    return text
      + "\nThe median of the \(rows.count) medians is \(short(all)), of all \(quotients.count) quotients "
      + "\(short(Statistics.median(quotients))).\n"
  }
}
