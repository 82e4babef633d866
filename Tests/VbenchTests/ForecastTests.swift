import ConvCore
import Foundation
import Testing

@testable import VbenchCLI

/// How long a run goes on, by simulated durations.
@Suite struct ForecastTests {
  /// Items whose operations differ by a factor of ten thousand, with checks that cost what they cost plus noise.
  private struct Simulation {
    var items: [VisitForecast.Item] = []
    /// Seconds of the check, and of each visit's timing.
    var checking: [Double] = []
    var timing: [[Double]] = []
    var random: PhiloxGenerator

    init(seed: UInt64, count: Int, visits: Int, noise: Double) {
      random = PhiloxGenerator(seed: seed)
      for _ in 0..<count {
        let work = pow(10, 6 + 4 * random.uniform())
        items.append(VisitForecast.Item(timing: max(0.8, work / 1e10), checking: work))
        checking.append(work * 3e-10 * (1 + noise * (random.uniform() - 0.5)) + 0.002)
        // A third of the budget per visit where there are three, more where the least rounds take longer.
        let visit = max(0.27, work * 2e-10)
        timing.append((0..<visits).map { _ in visit * (1 + noise * (random.uniform() - 0.5)) })
      }
    }

    /// What is shown before each visit, and how long it really goes on.
    func run(visits: Int) -> [(shown: Double, left: Double, linear: Double)] {
      var forecast = VisitForecast(items, visits: visits)
      let total = checking.reduce(0, +) + timing.joined().reduce(0, +)
      var elapsed = 0.0
      var result: [(Double, Double, Double)] = []
      for visit in 0..<visits {
        for index in items.indices {
          let done = visit * items.count + index
          let linear = elapsed / Double(max(1, done)) * Double(visits * items.count - done)
          result.append((forecast.secondsLeft(), total - elapsed, done == 0 ? .nan : linear))
          let check = visit == 0 ? checking[index] : 0
          forecast.finish(index, timing: timing[index][visit], checking: check)
          elapsed += timing[index][visit] + check
        }
      }
      return result
    }
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>) func theTimeLeftDoesNotRise(_ seed: UInt64) {
    let simulation = Simulation(seed: seed, count: 60, visits: 3, noise: 0.2)
    let shown = simulation.run(visits: 3)
    #expect(shown[0].shown.isNaN && shown.dropFirst().allSatisfy { $0.shown.isFinite })
    for (before, after) in zip(shown.dropFirst(), shown.dropFirst(2)) {
      #expect(after.shown <= 1.021 * before.shown, "\(before) \(after)")
    }
    // It is an estimate, too: from a third of the first visits on within a third, from the second visits on within a tenth.
    for step in shown.indices where step >= 20 && shown[step].left > 5 {
      let allowed = step >= 60 ? 0.1 : 0.34
      #expect(abs(shown[step].shown / shown[step].left - 1) < allowed, "step \(step): \(shown[step])")
    }
  }

  /// What the steps' number alone says of these runs rises by far more.
  @Test func proportionsOfStepsWouldRise() {
    var largest = 0.0
    for seed in 1...20 as ClosedRange<UInt64> {
      let simulation = Simulation(seed: seed, count: 60, visits: 3, noise: 0.2)
      let shown = simulation.run(visits: 3)
      for (before, after) in zip(shown.dropFirst(3), shown.dropFirst(4)) {
        largest = max(largest, after.linear / before.linear)
      }
    }
    #expect(largest > 1.2, "\(largest)")
  }

  /// A run that goes on knows that what was visited needs no check.
  @Test func whatAnEarlierRunDidIsNotCountedAgain() {
    let items = [VisitForecast.Item(timing: 1, checking: 10), VisitForecast.Item(timing: 1, checking: 10)]
    var forecast = VisitForecast(items, visits: 2)
    forecast.skip(0, visits: 2)
    forecast.skip(1, visits: 1)
    #expect(forecast.secondsLeft().isNaN)
    forecast.finish(1, timing: 3, checking: 0)
    #expect(forecast.secondsLeft() == 0)
    var fresh = VisitForecast(items, visits: 2)
    fresh.finish(0, timing: 1, checking: 5)
    // One visit of the first, two and a check of the second.
    #expect(fresh.secondsLeft() == 1 + 2 + 5)
  }

  /// Steps that are made once each: what they are predicted to cost decides, and those that are passed over cost nothing.
  @Test func stepsCountByTheirCosts() throws {
    var forecast = StepForecast([1, 1, 8, 100, 10])
    #expect(forecast.secondsLeft(done: 0, elapsed: 0).isNaN)
    #expect(forecast.secondsLeft(done: 1, elapsed: 2) == 2 * 119)
    #expect(forecast.secondsLeft(done: 1, elapsed: 3) == 2 * 119)
    #expect(forecast.secondsLeft(done: 2, elapsed: 4) == 2 * 118)
    // The fourth one is passed over.
    #expect(abs(forecast.secondsLeft(done: 4, elapsed: 20) - 20) < 1e-9)
    #expect(forecast.secondsLeft(done: 5, elapsed: 40) == 0)
    let small = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3p1")
    let large = try ConvProblem(parsing: "conv2d:n1c64h80w80k64r3s3p1")
    #expect(StepForecast.cost(of: small, engines: 2, seconds: 1) < 1.1)
    #expect(StepForecast.cost(of: large, engines: 8, seconds: 1) > 1.5)
  }

  /// Slow engines end at their share, so that their steps to come cost nothing.
  @Test func trainingEndsAtItsShares() {
    var now = 0.0
    let steps = [0.1, 2.0]
    let share = 6.0
    var forecast = TrainingForecast(engines: 2, steps: 12, seconds: 2 * share, clock: { now })
    var spent = [0.0, 0.0]
    var shown: [Double] = []
    for turn in 0..<3 {
      for engine in 0..<2 {
        for _ in 0..<4 where turn == 0 && spent[engine] == 0 || spent[engine] <= share {
          let left = forecast.secondsLeft(beginning: engine)
          if left.isFinite { shown.append(left) }
          now += steps[engine]
          spent[engine] += steps[engine]
        }
      }
    }
    #expect(shown.count > 8)
    for (before, after) in zip(shown, shown.dropFirst()) { #expect(after <= 1.021 * before, "\(shown)") }
    // When the slow one has had its share only the fast one's steps are left.
    #expect((shown.last ?? .nan) < 1, "\(shown)")
  }
}
