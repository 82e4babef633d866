import ArgumentParser
import ConvCore
import ConvHarness
import Foundation

/// How `vbench run` and `vbench tune` measure.
struct MeasurementOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Sampling ends when the 95 % interval of every speed-up is narrower: \(Percentage.rule).",
      valueName: "percentage"))
  var precision = "3%"

  @Option(
    help: ArgumentHelp(
      "Seconds of sampling per item, all engines together, once --rounds are done; if left out 0.25 with --quick, 0.8 in the default job, 1 in tune, else 3.",
      valueName: "seconds"))
  var budget: Double?

  @Option(
    help: ArgumentHelp(
      "Rounds at least, however long they take; backends ten times slower than the best are spared most.",
      valueName: "count"))
  var rounds = SamplingLimits().leastRounds

  @Option(
    help: ArgumentHelp(
      "Times that every item is measured, with all others in between: rounds and budget are shared out; if left out 3, with --quick 1; tune has one.",
      valueName: "count"))
  var visits: Int?

  @Option(
    help: ArgumentHelp(
      "What the caches hold before a sample: warm (what an untimed execution left), network (L1 and L2 something else), cold (all something else); several make a sweep.",
      valueName: "list"), completion: .custom(Completions.values(of: CacheState.self)))
  var cache = "warm"

  @Option(
    help: ArgumentHelp(
      "Limits of the workspace that engines obey or decline, in bytes or as in 1MiB,16MiB,64MiB; several make a sweep.",
      valueName: "list"))
  var workspace = "64MiB"

  @Flag(help: "Prints where the time went.")
  var verbose = false

  /// The seconds that `--budget` means; nil where it is left out.
  func budgetSeconds() throws -> Double? {
    try budget.map { try Self.seconds($0, option: "budget", most: 3600) }
  }

  /// A number of seconds that is possible.
  ///
  /// - Throws: `UsageError`.
  static func seconds(_ value: Double, option: String, most: Double) throws -> Double {
    guard value > 0, value <= most else {
      throw UsageError(
        "--\(option) is \(value), more than 0 and at most \(String(format: "%g", most)) seconds are possible")
    }
    return value
  }

  /// The fraction that `--precision` means.
  func precisionFraction() throws -> Double {
    let fraction = try Percentage.parse(precision, option: "precision")
    guard fraction > 0 else { throw UsageError("--precision is \(precision), more than 0 is needed") }
    return fraction
  }

  /// The number of rounds that `--rounds` means.
  func leastRounds() throws -> Int { try Self.count(rounds, option: "rounds", 1...100_000) }

  /// The number of visits that `--visits` means.
  func visitCount(standard: Int) throws -> Int {
    try Self.count(visits ?? standard, option: "visits", 1...1000)
  }

  /// A number that is possible.
  ///
  /// - Throws: `UsageError`.
  static func count(_ value: Int, option: String, _ possible: ClosedRange<Int>) throws -> Int {
    guard possible.contains(value) else {
      throw UsageError(
        "--\(option) is \(value), \(possible.lowerBound) to \(possible.upperBound) are possible")
    }
    return value
  }

  /// The state that a list of one means, for commands that measure under one.
  ///
  /// - Throws: `UnknownNameError`, `UsageError`.
  static func cacheState(_ text: String) throws -> CacheState {
    let states = try NameList.values(text, option: "cache", as: CacheState.self)
    guard states.count == 1 else {
      throw UsageError("--cache names \(states.count) states, one is possible: \(text)")
    }
    return states[0]
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
    guard let text else { return [try NameList.pool(threads: nil)] }
    let counts = NameList.split(text)
    if counts.isEmpty { throw UsageError("--threads is empty, as in 1,2") }
    var pools: [WorkerPool] = []
    for count in counts {
      guard let threads = Int(count) else {
        throw UsageError("--threads: \(quoting: count) is not a number of threads")
      }
      if pools.contains(where: { $0.threads == threads }) { continue }
      pools.append(try NameList.pool(threads: threads))
    }
    return pools
  }
}

/// `--resume`: how `vbench run` goes on.
struct ResumeOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Goes on with the unfinished run in that folder; the other arguments as they were. A new run if left out.",
      valueName: "dir"), completion: .directory)
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

/// Fractions on the command line, the same for every option that takes one.
enum Percentage {
  /// What help texts say of the values.
  static let rule = "a percentage as in 5%, or a fraction below 1 as in 0.05"

  /// `5%` and `0.05` are the same. A 5 without % is neither: it is refused, whatever it may mean elsewhere.
  ///
  /// - Throws: `UsageError` for anything but 0 to below 1, with % to below 1000, that says what to write.
  static func parse(_ text: String, option: String) throws -> Double {
    let isPercent = text.hasSuffix("%")
    let digits = text.dropLast(isPercent ? 1 : 0).trimmingCharacters(in: .whitespaces)
    guard let value = Double(digits), value.isFinite, value >= 0 else {
      throw UsageError("--\(option) is \(quoting: text): \(rule) is needed")
    }
    if isPercent {
      guard value < 1000 else { throw UsageError("--\(option) is \(text), less than 1000% is possible") }
      return value / 100
    }
    guard value < 1 else {
      throw UsageError(
        "--\(option) is \(quoting: text) without a unit: write \(digits)% for \(digits) percent, "
          + "or a fraction below 1 as in 0.05")
    }
    return value
  }
}
