import ConvCore

/// How long work goes on whose items differ, where each is visited several times with the others in between.
///
/// The first visit to an item has a part (checking, planning) that later ones do not have. What both parts cost is learned from the items
/// that were visited, in proportion to what was predicted of each; how long an item is timed in later visits is what its first one took.
/// What is shown never rises by more than the noise between two visits, so that people can rely on it.
struct VisitForecast {
  /// What is known of an item beforehand, each in a unit of its own.
  struct Item {
    /// Of one visit: what is timed.
    var timing: Double
    /// Of the first visit: what is done but once.
    var checking: Double
    /// Seconds that all visits together take at most; where it is spent, there are no more.
    var most = Double.infinity
  }

  /// What is shown may rise by that much with each visit.
  static let noise = 1.02

  private let items: [Item]
  private var visitsLeft: [Int]
  private var visited: [(count: Int, seconds: Double)]
  private var shown: Double?

  /// Of items that are all visited equally often.
  init(_ items: [Item], visits: Int) {
    self.items = items
    visitsLeft = Array(repeating: visits, count: items.count)
    visited = Array(repeating: (0, 0), count: items.count)
  }

  /// Some visits that an earlier run made.
  mutating func skip(_ index: Int, visits: Int) {
    guard items.indices.contains(index) else { return }
    visitsLeft[index] = max(0, visitsLeft[index] - visits)
    isKnown.insert(index)
  }

  /// Items that were checked by an earlier run.
  private var isKnown: Set<Int> = []
  private var (timingCost, timingDone, checkingCost, checkingDone) = (0.0, 0.0, 0.0, 0.0)

  /// What a visit took.
  mutating func finish(_ index: Int, timing: Double, checking: Double) {
    guard items.indices.contains(index) else { return }
    visitsLeft[index] = max(0, visitsLeft[index] - 1)
    if visited[index].count == 0 {
      timingCost += timing
      timingDone += items[index].timing
      if !isKnown.contains(index) {
        checkingCost += checking
        checkingDone += items[index].checking
      }
    }
    visited[index].count += 1
    visited[index].seconds += timing
  }

  /// Seconds of everything that is left; nil while nothing is known.
  private var left: Double? {
    guard timingDone > 0 || checkingDone > 0 else { return nil }
    let timingRate = timingDone > 0 ? timingCost / timingDone : 0
    let checkingRate = checkingDone > 0 ? checkingCost / checkingDone : 0
    return items.indices.reduce(0) { sum, index in
      let own = visited[index]
      let seconds = own.count > 0 ? own.seconds / Double(own.count) : timingRate * items[index].timing
      let timed = min(seconds * Double(visitsLeft[index]), max(0, items[index].most - own.seconds))
      let isNew = own.count == 0 && !isKnown.contains(index) && visitsLeft[index] > 0
      return sum + timed + (isNew ? checkingRate * items[index].checking : 0)
    }
  }

  /// Whether every item was visited.
  var hasSeenAll: Bool { visited.allSatisfy { $0.count > 0 } }

  /// What to show; NaN while nothing can be said.
  mutating func secondsLeft() -> Double {
    guard let left else { return .nan }
    let next = shown.map { min(left, $0 * VisitForecast.noise) } ?? left
    shown = next
    return next
  }
}

/// How long steps go on that are made one after the other, each once, and differ.
struct StepForecast {
  private var forecast: VisitForecast
  private var last: (step: Int, begun: Double)?

  /// Of steps that are predicted to cost so much, in any unit.
  init(_ costs: [Double]) {
    forecast = VisitForecast(costs.map { VisitForecast.Item(timing: $0, checking: 0) }, visits: 1)
  }

  /// What to show when so many steps are done, those that were passed over among them; NaN while nothing can be said.
  mutating func secondsLeft(done: Int, elapsed: Double) -> Double {
    if let last, done > last.step {
      forecast.finish(last.step, timing: elapsed - last.begun, checking: 0)
      for step in last.step + 1..<max(done, last.step + 1) { forecast.skip(step, visits: 1) }
    }
    if done > last?.step ?? -1 { last = (done, elapsed) }
    return forecast.secondsLeft()
  }

  /// What an item is predicted to cost that is timed for so many seconds: a check of each engine comes before.
  static func cost(of problem: ConvProblem, engines: Int, seconds: Double) -> Double {
    seconds + problem.directFLOPs * Double(engines) * 3e-10
  }
}

/// How long training goes on in turns of steps: engines take different times, and slow ones end at their share of the seconds.
struct TrainingForecast {
  private var forecast: VisitForecast
  private let clock: () -> Double
  private var last: (engine: Int, begun: Double)?

  /// - Parameters:
  ///   - steps: of each engine at most.
  ///   - seconds: of all engines together, of which each has an equal share.
  ///   - clock: seconds since any time.
  init(
    engines: Int, steps: Int, seconds: Double, clock: @escaping () -> Double = TrainingForecast.seconds
  ) {
    let share = seconds / Double(max(1, engines))
    forecast = VisitForecast(
      Array(repeating: VisitForecast.Item(timing: 1, checking: 0, most: share), count: engines), visits: steps
    )
    self.clock = clock
  }

  private static let start = ContinuousClock.now
  private static func seconds() -> Double { (ContinuousClock.now - start) / .seconds(1) }

  /// What to show when a step of an engine begins; NaN until each engine has made one.
  mutating func secondsLeft(beginning engine: Int) -> Double {
    let now = clock()
    if let last { forecast.finish(last.engine, timing: now - last.begun, checking: 0) }
    last = (engine, now)
    return forecast.hasSeenAll ? forecast.secondsLeft() : .nan
  }
}
