import Foundation

/// Whether the files of a run fit together: intervals around their ratios, verdicts that follow from them, everything from the samples,
/// the same in `results.csv`, `run.json` and the tables of `report.md`, totals from their rows.
///
/// Only numbers decide, never how large a time is. What is printed with six digits is compared with what follows from samples of six
/// digits: a quotient of two of them is known to 1.5 · 10⁻⁵.
struct RunFolderCheck {
  static let digits = 2e-5

  typealias Row = [String: String]

  let results, training: [Row]
  /// Milliseconds by round of each row of `results`.
  let samples: [[Int: Double]]
  let run: [String: Any]
  let tables: [PlainTables.Markdown]
  /// What does not fit.
  private(set) var faults: [String] = []
  /// How many ratios, and cells of totals, were recomputed: a check that looks at nothing finds nothing.
  private(set) var ratios = 0
  private(set) var totals = 0

  /// Checks a folder.
  ///
  /// - Throws: where a file is missing or no table.
  init(_ folder: String) throws {
    func text(_ name: String) throws -> String {
      try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
    }
    results = try PlainTables.csv(text("results.csv"))
    training = try PlainTables.csv(text("training.csv"))
    tables = PlainTables.markdown(try text("report.md"))
    run =
      try JSONSerialization.jsonObject(with: Data(text("run.json").utf8)) as? [String: Any] ?? [:]
    var samples = [[Int: Double]](repeating: [:], count: results.count)
    for line in try PlainTables.csv(text("samples.csv")) {
      guard let row = line["row"].flatMap({ Int($0) }), let round = line["round"].flatMap({ Int($0) }),
        let time = line["milliseconds"].flatMap({ Double($0) }), samples.indices.contains(row - 1)
      else { throw PlainTableError("a sample of no row: \(line)") }
      if samples[row - 1].updateValue(time, forKey: round) != nil {
        faults.append("row \(row) has two samples of round \(round)")
      }
    }
    self.samples = samples
    for item in items { check(item) }
    try checkJSON()
    try checkTraining()
    try checkLayerTables()
    try checkVerdictTable()
    try checkTotals()
  }

  // MARK: Items

  /// The rows of each problem, pass and condition; an engine that is there already begins the next one.
  var items: [[Int]] {
    let key = [
      "suite", "problem", "name", "pass", "threads", "format", "filter_state", "cache",
      "workspace_limit_bytes", "data",
    ]
    var items: [[Int]] = []
    for index in results.indices {
      let place = items.lastIndex { item in key.allSatisfy { results[item[0]][$0] == results[index][$0] } }
      if let place, !items[place].contains(where: { results[$0]["backend"] == results[index]["backend"] }) {
        items[place].append(index)
      } else {
        items.append([index])
      }
    }
    return items
  }

  private mutating func check(_ item: [Int]) {
    let timed = item.filter { !samples[$0].isEmpty }
    func median(_ index: Int) -> Double { Self.median(Array(samples[index].values)) }
    for index in item {
      let row = results[index]
      expect(index, row["samples"] == (samples[index].isEmpty ? "" : "\(samples[index].count)"), "samples")
      guard row["verdict"] == "passed", !samples[index].isEmpty else {
        let times = ["min_ms", "median_ms", "p95_ms", "gflops_effective", "speedup", "ratio_to_best"]
        for name in times { expect(index, row[name] == "", "a row without samples has \(name)") }
        continue
      }
      let times = samples[index].values.sorted()
      compare(index, "min_ms", times[0])
      compare(index, "median_ms", median(index))
      let place = 0.95 * Double(times.count - 1)
      let below = Int(place)
      let above = min(below + 1, times.count - 1)
      compare(index, "p95_ms", times[below] + (times[above] - times[below]) * (place - Double(below)))
      if let rate = number(index, "gflops_effective") {
        // Of one problem all engines do the same work.
        let work = number(timed[0], "gflops_effective").map { $0 * median(timed[0]) } ?? .nan
        expect(index, Self.agree(rate * median(index), work), "gflops_effective is not work over time")
        if let peak = number(index, "peak_gflops") { compare(index, "peak_percent", rate / peak * 100) }
        if let roof = number(index, "roofline_gflops") {
          compare(index, "roofline_percent", rate / roof * 100)
        }
      }
    }
    checkSpeedups(timed, of: item)
    checkBest(timed)
  }

  private mutating func checkSpeedups(_ timed: [Int], of item: [Int]) {
    let baseline = timed.first { results[$0]["backend"] == results[$0]["baseline"] }
    for index in item where baseline == nil {
      expect(index, results[index]["speedup"] == "", "a speed-up without a baseline")
    }
    for index in timed {
      guard let baseline else { break }
      let own = samples[index]
      let paired = samples[baseline].compactMap { round, time in own[round].map { time / $0 } }
      let names = ["speedup", "speedup_low", "speedup_high", "verdict_speed"]
      if index == baseline {
        expect(
          index, names.map { results[index][$0] } == ["1", "1", "1", "baseline"], "the baseline's speed-up")
      } else {
        check(results[index], "row \(index + 1)", names, paired, words: ("faster", "slower"))
      }
    }
  }

  private mutating func checkBest(_ timed: [Int]) {
    let names = ["ratio_to_best", "ratio_to_best_low", "ratio_to_best_high", "verdict_best"]
    let engines = timed.filter { results[$0]["role"] == "engine" }
    func median(_ index: Int) -> Double { Self.median(Array(samples[index].values)) }
    guard let least = engines.map(median).min() else {
      for index in timed { expect(index, results[index]["best_backend"] == "", "a best of no engine") }
      return
    }
    let named = engines.filter { results[$0]["backend"] == results[timed[0]]["best_backend"] }
    guard let best = named.first, Self.agree(median(best), least) else {
      return expect(timed[0], false, "the best is not the engine of the least median")
    }
    for index in timed {
      let row = results[index]
      expect(index, row["best_backend"] == results[best]["backend"], "two bests of one item")
      let isSamePlan =
        row["role"] == "chooser" && row["executed_by"] != ""
        && ["executed_by", "variant"].allSatisfy { row[$0] == results[best][$0] }
      expect(index, (row["verdict_best"] == "same plan") == isSamePlan, "same plan")
      if index == best {
        expect(index, names.map { row[$0] } == ["1", "1", "1", "best"], "the best beside itself")
        continue
      }
      let other = samples[best]
      let paired = samples[index].compactMap { round, time in other[round].map { $0 / time } }
      // Of an even number the reciprocal of the middle is not the middle of the reciprocals: the files have the former.
      check(row, "row \(index + 1)", names, paired, isReciprocal: true, words: ("slower", "faster"))
    }
  }

  // MARK: Ratios

  /// A ratio with its interval and verdict against the quotients that it is the median of.
  ///
  /// - Parameters:
  ///   - names: the columns of the ratio, the ends of its interval, and its verdict.
  ///   - isReciprocal: whether the columns have the reciprocals.
  ///   - words: the verdicts on ratios above and below 1.
  private mutating func check(
    _ row: Row, _ place: String, _ names: [String], _ quotients: [Double], isReciprocal: Bool = false,
    words: (above: String, below: String)
  ) {
    func number(_ index: Int) -> Double { row[names[index]].flatMap { Double($0) } ?? .nan }
    let (ratio, low, high) = (number(0), number(1), number(2))
    let verdict = row[names[3]] ?? ""
    ratios += 1
    guard !quotients.isEmpty else {
      if !(ratio.isNaN && verdict == "unknown") {
        faults.append("\(place): \(names[0]) without common rounds")
      }
      return
    }
    let median = Self.median(quotients)
    if !Self.agree(ratio, isReciprocal ? 1 / median : median) {
      faults.append("\(place): \(names[0]) is \(ratio), its rounds say \(isReciprocal ? 1 / median : median)")
    }
    if !(low <= ratio && ratio <= high) {
      faults.append("\(place): \(names[0]) \(ratio) is not within \(low) to \(high)")
    }
    let sorted = (isReciprocal ? quotients.map { 1 / $0 } : quotients).sorted()
    // Of six rounds and more at least the ranks of the binomial and at most all, of fewer more than all.
    let outside = sorted.count < 6 ? 0 : Self.ranksOutside(of: sorted.count)
    let slack = 1 + Self.digits
    if low > sorted[outside] * slack || high * slack < sorted[sorted.count - 1 - outside] {
      faults.append("\(place): the interval of \(names[0]) is too narrow")
    }
    if sorted.count >= 6 && (low * slack < sorted[0] || high > sorted[sorted.count - 1] * slack) {
      faults.append("\(place): the interval of \(names[0]) is wider than its rounds")
    }
    let expected =
      quotients.count < 2
      ? "unknown"
      : ratio > 1.02 && low > 1
        ? words.above : ratio < 1 / 1.02 && high < 1 ? words.below : "indistinguishable"
    let isClose = [ratio / 1.02, ratio * 1.02, low, high].contains { Self.agree($0, 1) }
    if verdict != "same plan" && verdict != expected && !isClose {
      faults.append("\(place): \(names[3]) is '\(verdict)', \(ratio) (\(low) to \(high)) says '\(expected)'")
    }
  }

  /// The largest r with P(at most r heads of n coins) ≤ 2.5 %.
  private static func ranksOutside(of count: Int) -> Int {
    var (term, sum, rank) = (pow(0.5, Double(count)), 0.0, 0)
    while sum + term <= 0.025 {
      sum += term
      term *= Double(count - rank) / Double(rank + 1)
      rank += 1
    }
    return rank - 1
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.isEmpty
      ? .nan : sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  static func agree(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= digits * abs(b) }

  func number(_ index: Int, _ name: String) -> Double? { results[index][name].flatMap { Double($0) } }

  private mutating func compare(_ index: Int, _ name: String, _ value: Double) {
    let found = number(index, name) ?? .nan
    expect(index, Self.agree(found, value), "\(name) is \(found), not \(value)")
  }

  mutating func expect(_ index: Int, _ holds: Bool, _ what: String) {
    expect(holds, "row \(index + 1) (\(results[index]["backend"] ?? "")): \(what)")
  }

  mutating func expect(_ holds: Bool, _ what: String) {
    if !holds { faults.append(what) }
  }

  mutating func countTotal() { totals += 1 }

  /// Steps of networks: times from `run.json`, ratios by paired steps.
  private mutating func checkTraining() throws {
    let entries = run["training"] as? [[String: Any]] ?? []
    expect(entries.count == training.count, "run.json has \(entries.count) trainings, training.csv others")
    func steps(_ index: Int) -> [Double] {
      let parts = ["forward_seconds", "backward_seconds", "optimizer_seconds"].map {
        (entries[index][$0] as? [NSNumber])?.map(\.doubleValue) ?? []
      }
      return zip(zip(parts[0], parts[1]), parts[2]).map { ($0.0 + $0.1 + $1) * 1e3 }
    }
    for (index, row) in training.enumerated() where index < entries.count {
      let place = "training of \(row["network"] ?? "") on \(row["backend"] ?? "")"
      for (name, value) in row {
        expect(entries[index][name] as? String == value, "\(place): run.json has another \(name)")
      }
      let own = steps(index)
      guard !own.isEmpty else { continue }
      let median = Self.median(own)
      expect(Self.agree(Double(row["step_median_ms"] ?? "") ?? .nan, median), "\(place): step_median_ms")
      let rate = (Double(row["batch"] ?? "") ?? .nan) / median * 1e3
      expect(Self.agree(Double(row["images_per_s"] ?? "") ?? .nan, rate), "\(place): images_per_s")
      let peers = training.indices.filter { $0 < entries.count && training[$0]["network"] == row["network"] }
      if let baseline = peers.first(where: { training[$0]["verdict_speed"] == "baseline" }), baseline != index
      {
        check(
          row, place, ["speedup", "speedup_low", "speedup_high", "verdict_speed"],
          zip(steps(baseline), own).map { $0 / $1 }, words: ("faster", "slower"))
      }
      if let best = peers.first(where: { training[$0]["backend"] == row["best_backend"] }), best != index {
        check(
          row, place, ["ratio_to_best", "ratio_to_best_low", "ratio_to_best_high", "verdict_best"],
          zip(steps(best), own).map { $0 / $1 }, isReciprocal: true, words: ("slower", "faster"))
      }
    }
  }

  /// `run.json` says what `results.csv` says, and has the samples.
  private mutating func checkJSON() throws {
    let entries = run["results"] as? [[String: Any]] ?? []
    expect(entries.count == results.count, "run.json has \(entries.count) results, not \(results.count)")
    for (index, (entry, row)) in zip(entries, results).enumerated() {
      for (name, value) in row {
        expect(index, entry[name] as? String == value, "run.json has another \(name)")
      }
      let seconds = (entry["seconds"] as? [NSNumber])?.map { $0.doubleValue * 1e3 } ?? []
      let own = samples[index].sorted { $0.key < $1.key }.map(\.value)
      let isSame = seconds.count == own.count && zip(seconds, own).allSatisfy { Self.agree($0, $1) }
      expect(index, isSame, "run.json has other samples")
    }
  }
}
