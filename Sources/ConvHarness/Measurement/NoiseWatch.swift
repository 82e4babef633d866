import Foundation

/// Counters of the machine at one moment, as Linux states them.
public struct NoiseSample: Sendable, Hashable {
  /// Ticks of all processors since the machine's start, idle ones included.
  public var totalTicks = 0
  /// Ticks in which a processor worked for anybody here.
  public var busyTicks = 0
  /// Ticks that the hypervisor gave to somebody else though there was work.
  public var stealTicks = 0
  /// Ticks of this process and its children.
  public var ownTicks = 0
  /// Runnable tasks, averaged over a minute.
  public var load = Double.nan
  /// Mean frequency of the processors, MHz; NaN where it cannot be read.
  public var megahertz = Double.nan

  /// Nothing is known.
  public init() {}

  /// From the texts of `/proc/stat`, `/proc/self/stat`, `/proc/loadavg` and `/proc/cpuinfo`; nil where the first two are not
  /// what Linux writes.
  public init?(stat: String, selfStat: String, loadAverage: String, cpuInfo: String) {
    guard let line = stat.split(separator: "\n").first, line.hasPrefix("cpu ") else { return nil }
    let ticks = line.split(separator: " ").dropFirst().compactMap { Int($0) }
    guard ticks.count >= 8 else { return nil }
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
    totalTicks = ticks[0..<8].reduce(0, +)
    stealTicks = ticks[7]
    busyTicks = totalTicks - ticks[3] - ticks[4] - ticks[7]
    // The name of the program is in parentheses and may hold spaces; utime is the twelfth field after it.
    guard let end = selfStat.lastIndex(of: ")") else { return nil }
    let fields = selfStat[selfStat.index(after: end)...].split(separator: " ")
    guard fields.count >= 15 else { return nil }
    ownTicks = fields[11...14].compactMap { Int($0) }.reduce(0, +)
    load = loadAverage.split(separator: " ").first.flatMap { Double($0) } ?? .nan
    let frequencies = cpuInfo.split(separator: "\n").filter { $0.hasPrefix("cpu MHz") }
      .compactMap {
        $0.split(separator: ":").last.flatMap { Double($0.trimmingCharacters(in: .whitespaces)) }
      }
    if !frequencies.isEmpty { megahertz = frequencies.reduce(0, +) / Double(frequencies.count) }
  }

  /// The counters now; nil where there are none.
  public static func now() -> NoiseSample? {
    func read(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
    return NoiseSample(
      stat: read("/proc/stat"), selfStat: read("/proc/self/stat"), loadAverage: read("/proc/loadavg"),
      cpuInfo: read("/proc/cpuinfo"))
  }

  /// How the system gives out large pages: `always`, `madvise`, `never`.
  public static var transparentHugePages: String {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled"
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    guard let start = text.firstIndex(of: "["), let end = text.firstIndex(of: "]"), start < end else {
      return ""
    }
    return String(text[text.index(after: start)..<end])
  }
}

/// How quiet the machine was during a run.
public struct NoiseRecord: Sendable, Hashable {
  /// Percent of the processors' time that a hypervisor took away, and the most in one interval between two looks.
  public var stealPercent = Double.nan
  public var stealPercentWorst = Double.nan
  /// Percent of the processors' time that other processes of this machine used.
  public var othersPercent = Double.nan
  public var othersPercentWorst = Double.nan
  /// Runnable tasks before and after.
  public var loadBefore = Double.nan
  public var loadAfter = Double.nan
  /// Least and greatest mean frequency, MHz.
  public var megahertzLow = Double.nan
  public var megahertzHigh = Double.nan
  /// What the multipliers could do at best in the slowest and in the fastest visit of the run, GFLOP/s of all threads; of the number
  /// of threads for which the two are furthest apart.
  public var peakLow = Double.nan
  public var peakHigh = Double.nan
  /// Setting of transparent huge pages.
  public var hugePages = ""

  /// Nothing is known.
  public init() {}

  /// By what factor the machine's speed changed during the run; NaN where it was not measured.
  public var speedChange: Double { peakHigh / peakLow }

  /// Why the times of this run are to be read with care, with figures; empty for a quiet machine.
  public var reasons: [String] {
    var reasons: [String] = []
    func percent(_ value: Double) -> String { String(format: "%.1f %%", value) }
    if speedChange > NoiseRecord.largestSpeedChange {
      reasons.append(String(format: "the machine's speed changed by %.2g × during this run", speedChange))
    }
    if stealPercent > 1 || stealPercentWorst > 5 {
      reasons.append(
        "the hypervisor took \(percent(stealPercent)) of the processors' time (at worst \(percent(stealPercentWorst)))"
      )
    }
    if othersPercent > 3 || othersPercentWorst > 15 {
      reasons.append(
        "other processes used \(percent(othersPercent)) of the processors' time (at worst "
          + "\(percent(othersPercentWorst)))")
    }
    if megahertzLow < 0.9 * megahertzHigh {
      reasons.append(
        String(format: "the frequency went from %.0f to %.0f MHz", megahertzHigh, megahertzLow))
    }
    return reasons
  }

  /// Beyond this factor between the fastest and the slowest visit times of different rows are not of one machine.
  static let largestSpeedChange = 1.15

  /// All figures in one line.
  public var summary: String {
    var parts: [String] = []
    func add(_ text: String, _ value: Double, _ rest: String = "") {
      if value.isFinite { parts.append(text + String(format: "%.2f", value) + rest) }
    }
    if speedChange.isFinite {
      parts.append(
        String(
          format: "the machine's speed changed by %.3g × (FMA peak %.0f to %.0f GFLOP/s)", speedChange,
          peakLow,
          peakHigh))
    }
    add("load before ", loadBefore)
    add("after ", loadAfter)
    add("steal ", stealPercent, String(format: " %% (worst %.1f %%)", stealPercentWorst))
    add("other processes ", othersPercent, String(format: " %% (worst %.1f %%)", othersPercentWorst))
    if megahertzLow.isFinite { parts.append(String(format: "%.0f–%.0f MHz", megahertzLow, megahertzHigh)) }
    if !hugePages.isEmpty { parts.append("huge pages \(hugePages)") }
    return parts.joined(separator: ", ")
  }
}

/// Watches what else the machine does during a run.
public struct NoiseWatch: Sendable {
  private var first: NoiseSample?
  private var last: NoiseSample?
  private var stealWorst = 0.0
  private var othersWorst = 0.0
  private var low = Double.infinity
  private var high = -Double.infinity
  /// By number of threads: the FMA peaks of all visits, GFLOP/s.
  private var peaks: [Int: [Double]] = [:]

  /// Shortest interval whose figures count by themselves, in ticks (10 ms) of all processors together: a process that looks
  /// in for a moment is no noise.
  static let leastTicks = 400

  /// Has not looked yet.
  public init() {}

  /// Takes note of the counters now.
  public mutating func look() { if let sample = NoiseSample.now() { add(sample) } }

  /// Takes note of a sample.
  public mutating func add(_ sample: NoiseSample) {
    if sample.megahertz.isFinite {
      low = min(low, sample.megahertz)
      high = max(high, sample.megahertz)
    }
    guard let last else {
      first = sample
      self.last = sample
      return
    }
    guard sample.totalTicks - last.totalTicks >= NoiseWatch.leastTicks else { return }
    let (steal, others) = NoiseWatch.percents(from: last, to: sample)
    stealWorst = max(stealWorst, steal)
    othersWorst = max(othersWorst, others)
    self.last = sample
  }

  /// Takes note of what the machine could do at best during one visit, GFLOP/s of that many threads.
  public mutating func add(peak: Double, threads: Int) {
    if peak.isFinite, peak > 0 { peaks[threads, default: []].append(peak) }
  }

  /// The median of all visits with that many threads; nil where there were none.
  public func peak(threads: Int) -> Double? { peaks[threads].map(Statistics.median) }

  /// Puts the medians of the whole run in the places of peaks that were measured at one moment.
  public func settle(_ limits: inout [MachineLimits]) {
    for index in limits.indices {
      if let peak = peak(threads: limits[index].threads) { limits[index].fmaPeak = peak }
    }
  }

  private static func percents(from a: NoiseSample, to b: NoiseSample) -> (steal: Double, others: Double) {
    let total = Double(max(1, b.totalTicks - a.totalTicks))
    let others = max(0, b.busyTicks - a.busyTicks - (b.ownTicks - a.ownTicks))
    return (Double(b.stealTicks - a.stealTicks) / total * 100, Double(others) / total * 100)
  }

  /// What has been seen so far.
  public var record: NoiseRecord {
    var record = NoiseRecord()
    record.hugePages = NoiseSample.transparentHugePages
    let ranges = peaks.values.map { (low: $0.min()!, high: $0.max()!) }
    if let range = ranges.max(by: { $0.high / $0.low < $1.high / $1.low }) {
      (record.peakLow, record.peakHigh) = range
    }
    guard let first, let last else { return record }
    record.loadBefore = first.load
    record.loadAfter = last.load
    if last.totalTicks > first.totalTicks {
      (record.stealPercent, record.othersPercent) = NoiseWatch.percents(from: first, to: last)
      record.stealPercentWorst = max(stealWorst, record.stealPercent)
      record.othersPercentWorst = max(othersWorst, record.othersPercent)
    }
    if low <= high { (record.megahertzLow, record.megahertzHigh) = (low, high) }
    return record
  }
}
