import ArgumentParser
import ConvCore
import ConvHarness
import Foundation

/// How `vbench run` and `vbench tune` measure.
struct MeasurementOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Sampling ends when the 95 % interval of every speed-up is narrower, as in 3% or 0.03.",
      valueName: "fraction"))
  var precision = "3%"

  @Option(
    help: ArgumentHelp(
      "Seconds of sampling per item, all engines together, once --rounds are done; 0.25 with --quick, 0.8 in the default job, 1 in tune, else 3.",
      valueName: "seconds"))
  var budget: Double?

  @Option(
    help: ArgumentHelp(
      "Rounds at least, however long they take; backends ten times slower than the best are spared most.",
      valueName: "count"))
  var rounds = SamplingLimits().leastRounds

  @Option(
    help: ArgumentHelp(
      "Times that every item is measured, with all others in between: rounds and budget are shared out; 3, with --quick 1.",
      valueName: "count"))
  var visits: Int?

  @Option(
    help: ArgumentHelp(
      "What the caches hold before a sample: warm (what an untimed execution left), network (L1 and L2 something else), cold (all something else).",
      valueName: "list"))
  var cache = "warm"

  @Option(
    help: ArgumentHelp(
      "Limits of the workspace that engines obey or decline, as in 1MiB,16MiB,64MiB; several make a sweep.",
      valueName: "list"))
  var workspace = "64MiB"

  @Flag(help: "Prints where the time went.")
  var verbose = false

  /// The fraction that `--precision` means.
  func precisionFraction() throws -> Double {
    let fraction = try Percentage.parse(precision, option: "precision")
    guard fraction > 0 else { throw UsageError("--precision is \(precision), more than 0 is needed") }
    return fraction
  }

  /// The number of rounds that `--rounds` means.
  func leastRounds() throws -> Int {
    guard (1...100_000).contains(rounds) else {
      throw UsageError("--rounds is \(rounds), 1 to 100000 are possible")
    }
    return rounds
  }

  /// The number of visits that `--visits` means.
  func visitCount(standard: Int) throws -> Int {
    let count = visits ?? standard
    guard (1...1000).contains(count) else {
      throw UsageError("--visits is \(count), 1 to 1000 are possible")
    }
    return count
  }

  /// What the rows of an item are measured under, one after the other.
  func conditions(threads: String?) throws -> [RunCondition] {
    let caches = try NameList.values(cache, option: "cache", as: CacheState.self)
    let limits = try NameList.split(workspace).map(MeasurementOptions.byteCount)
    if limits.isEmpty { throw UsageError("--workspace is empty, as in 64MiB") }
    let pools = try MeasurementOptions.pools(threads)
    return pools.flatMap { pool in
      limits.flatMap { limit in
        caches.map { RunCondition(pool: pool, cache: $0, workspaceLimit: limit) }
      }
    }
  }

  /// The bytes that a size on the command line means.
  ///
  /// - Throws: `UsageError`.
  static func byteCount(_ text: String) throws -> Int {
    guard let bytes = ByteCount.parse(text) else {
      throw UsageError("--workspace: '\(text)' is no number of bytes; 64MiB, 1.5GiB and 300000 are")
    }
    return bytes
  }

  /// A pool for each number of threads of a list; the shared one without a list.
  static func pools(_ text: String?) throws -> [WorkerPool] {
    guard let text else { return [.shared] }
    let counts = NameList.split(text)
    if counts.isEmpty { throw UsageError("--threads is empty, as in 1,2") }
    var pools: [WorkerPool] = []
    for count in counts {
      guard let threads = Int(count) else {
        throw UsageError("--threads: \(quoting: count) is not a number of threads")
      }
      let pool = try NameList.pool(threads: threads)
      if !pools.contains(where: { $0 === pool }) { pools.append(pool) }
    }
    return pools
  }
}

/// `--resume`: how `vbench run` goes on.
struct ResumeOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Goes on with the unfinished run in that folder; the other arguments as they were.", valueName: "dir"))
  var resume: String?
}

/// What rows are measured under.
struct RunCondition {
  let pool: WorkerPool
  let cache: CacheState
  let workspaceLimit: Int

  /// The settings with this condition.
  func applied(to settings: RunSettings) -> RunSettings {
    var settings = settings
    settings.pool = pool
    settings.cache = cache
    settings.workspaceLimit = workspaceLimit
    return settings
  }

  /// For the names of items.
  var text: String { "threads \(pool.threads), \(cache.rawValue), workspace \(workspaceLimit)" }
}

/// Fractions on the command line.
enum Percentage {
  /// `5%` and `0.05` are the same.
  ///
  /// - Throws: `UsageError` for anything that is no fraction from 0 to below 10.
  static func parse(_ text: String, option: String) throws -> Double {
    let isPercent = text.hasSuffix("%")
    let digits = text.dropLast(isPercent ? 1 : 0).trimmingCharacters(in: .whitespaces)
    guard let value = Double(digits), value.isFinite, value >= 0, value / (isPercent ? 100 : 1) < 10 else {
      throw UsageError("--\(option) is \(quoting: text); a fraction as in 5% or 0.05 is needed")
    }
    return value / (isPercent ? 100 : 1)
  }
}
