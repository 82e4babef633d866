import ConvCore

/// One engine on one item, alone and in the company of others.
public struct CompanyRow: Sendable {
  public var item: RunItem
  /// Label of the engine.
  public var backend: String
  public var threads: Int
  public var cache: CacheState
  /// Median seconds of each visit in which nobody else took part.
  public var alone: [Double]
  /// Median seconds of each visit with all others, made in turn with those.
  public var company: [Double]
  /// Untimed executions before each sample, alone and in company.
  public var untimed: (alone: Int?, company: Int?)
  /// Time in company over time alone: the median of the visits' ratios with its interval. `faster` says that company slows it down.
  public var comparison: Speedup

  /// A row from the medians of visits that were made in turn.
  public init(
    item: RunItem, backend: String, threads: Int, cache: CacheState, alone: [Double], company: [Double],
    untimed: (alone: Int?, company: Int?) = (nil, nil), seed: UInt64
  ) {
    self.item = item
    self.backend = backend
    self.threads = threads
    self.cache = cache
    self.alone = alone
    self.company = company
    self.untimed = untimed
    comparison = Speedup(baseline: company, own: alone, seed: seed)
  }

  /// Whether company makes no difference that can be told: the interval contains 1, or the difference is at most 2 %.
  public var agrees: Bool { comparison.verdict == .indistinguishable }
}

/// Whether a row's time depends on which other engines take part: every engine is measured alone and with all others, in turn, in one
/// process.
public struct CompanyCheck {
  private var run: LayerRun
  /// Times that an item is measured in each way.
  private let visits: Int
  private let settings: RunSettings

  /// Visits below which an interval over them says next to nothing.
  public static let leastVisits = 6

  /// A check with known settings; the budget is that of the company, an engine alone has its share.
  ///
  /// - Parameter limits: of the machine, as `vbench run` measures them: how many executions go untimed depends on them.
  public init(settings: RunSettings, limits: MachineLimits, visits: Int) {
    self.settings = settings
    self.visits = visits
    run = LayerRun(settings: settings, limits: limits)
  }

  /// The rows of an item, one per engine that has times in all visits; and those of the company, as `LayerRun` gives them.
  ///
  /// - Parameter seesPeak: is told what the machine could do at best during each visit, GFLOP/s of all threads.
  /// - Throws: what `LayerRun.rows` throws.
  public mutating func rows(
    for item: RunItem, competitors: [Competitor], shouldStop: () -> Bool = { false },
    seesPeak: (Double) -> Void = { _ in }
  ) throws -> (rows: [CompanyRow], company: [ResultRow]) {
    // A copy alone is the engine alone.
    let engines = competitors.indices.filter { competitors[$0].label == competitors[$0].selection }
    var alone: [[ResultRow]?] = engines.map { _ in nil }
    var company: [ResultRow]?
    var medians: [(alone: [Double], company: [Double])] = engines.map { _ in ([], []) }
    for index in 0..<visits {
      let visit = Visit(index: index, of: visits)
      // Every second visit begins with the company, so that neither always comes first.
      for isCompany in index % 2 == 0 ? [false, true] : [true, false] {
        if isCompany {
          let before = company
          run.settings.sampling.budgetSeconds = settings.sampling.budgetSeconds
          let found = try run.rows(
            for: item, competitors: competitors, visit: visit, earlier: before, shouldStop: shouldStop)
          for (place, engine) in engines.enumerated() where engine < found.count {
            medians[place].company += CompanyCheck.newMedian(found[engine], before?[engine])
          }
          company = found
          if let peak = run.visitPeak { seesPeak(peak) }
        } else {
          run.settings.sampling.budgetSeconds =
            settings.sampling.budgetSeconds / Double(max(1, engines.count))
          for (place, engine) in engines.enumerated() {
            let before = alone[place]
            let found = try run.rows(
              for: item, competitors: [competitors[engine]], visit: visit, earlier: before,
              shouldStop: shouldStop)
            if let row = found.first {
              medians[place].alone += CompanyCheck.newMedian(row, before?.first)
            }
            alone[place] = found
          }
        }
        if shouldStop() { return ([], company ?? []) }
      }
    }
    var rows: [CompanyRow] = []
    for (place, engine) in engines.enumerated()
    where medians[place].alone.count == visits && medians[place].company.count == visits {
      rows.append(
        CompanyRow(
          item: item, backend: competitors[engine].label, threads: settings.pool.threads,
          cache: settings.cache, alone: medians[place].alone, company: medians[place].company,
          untimed: (alone[place]?.first?.untimedExecutions, company?[engine].untimedExecutions),
          seed: settings.seed))
    }
    return (rows, company ?? [])
  }

  /// The median of the samples that a visit has added; none where it has not added any.
  private static func newMedian(_ row: ResultRow, _ before: ResultRow?) -> [Double] {
    let old = Set(before?.rounds ?? [])
    let new = zip(row.rounds, row.seconds).filter { !old.contains($0.0) }.map(\.1)
    return new.isEmpty ? [] : [Statistics.median(new)]
  }
}
