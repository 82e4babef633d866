import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// A list of names separated by commas on the command line.
enum NameList {
  /// Engines of one run.
  private static let mostNames = 1_000

  /// The names; brackets protect commas, as in `winograd[tile=4x4,points=5/8:3/2],fft`.
  static func split(_ text: String) -> [String] {
    var names: [String] = []
    var current = ""
    var depth = 0
    for character in text {
      if character == "[" { depth += 1 }
      if character == "]" { depth -= 1 }
      if character == "," && depth == 0 {
        names.append(current)
        current = ""
      } else {
        current.append(character)
      }
    }
    return (names + [current]).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
  }

  /// Every engine but the oracle, whose plain loops take most of the time and win nothing.
  static var fastBackends: String { BackendRegistry.names.filter { $0 != "naive" }.joined(separator: ",") }

  /// The engines that `--backends` names; `all` is every engine of the build. One that is named twice competes with itself.
  ///
  /// - Throws: `ConvError.unknownName`, `MisplacedNameError`, `UsageError`.
  static func competitors(_ text: String) throws -> [Competitor] {
    var result: [Competitor] = []
    let names = split(text)
    guard names.count <= mostNames else {
      throw UsageError("--backends names \(names.count) engines, at most \(mostNames) can be compared")
    }
    for name in names {
      let found =
        try name == "all"
        ? BackendRegistry.all.map { Competitor($0) }
        : [competitor(name)]
      for competitor in found {
        let copies = result.count { $0.selection == competitor.selection }
        if copies > 0 && name == "all" { continue }
        result.append(Competitor(competitor.backend, variant: competitor.variant, copy: copies + 1))
      }
    }
    if result.isEmpty {
      throw UsageError(
        "--backends names no backend; known: all, \(BackendRegistry.names.joined(separator: ", "))")
    }
    return result
  }

  /// The engine of that name, or a variant of one: `winograd`, `winograd[tile=4x4]`.
  ///
  /// - Throws: `ConvError.unknownName`; `MisplacedNameError` where the name is that of a suite or a network.
  static func competitor(_ name: String, in place: NameKind.Place = .selection) throws -> Competitor {
    let selection = try selection(name, in: place)
    return Competitor(selection.backend, variant: selection.variant)
  }

  /// As `BackendRegistry.named`, which knows engines only.
  ///
  /// - Throws: `ConvError.unknownName`; `MisplacedNameError` where the name is that of a suite or a network.
  static func selection(
    _ name: String, in place: NameKind.Place = .selection
  ) throws -> BackendRegistry.Selection {
    if let error = MisplacedNameError(name, wanted: "an engine", .engine, in: place) { throw error }
    return try BackendRegistry.named(name)
  }

  /// The values of an option that is a list of an enumeration's names.
  ///
  /// - Throws: `UnknownNameError`, `UsageError`.
  static func values<Value: RawRepresentable & CaseIterable>(
    _ text: String, option: String, as: Value.Type
  ) throws -> [Value] where Value.RawValue == String {
    let known = Value.allCases.map(\.rawValue)
    let names = split(text)
    if names.isEmpty { throw UsageError("--\(option) is empty; known: \(known.joined(separator: ", "))") }
    return try names.map { name in
      guard let value = Value(rawValue: name) else {
        throw UnknownNameError(kind: option, name: name, known: NearNames.sorted(known, by: name))
      }
      return value
    }
  }

  /// A pool of that many threads; the shared one for nil. More threads than there are processors are noted.
  ///
  /// - Throws: `UsageError` for counts that no pool has, `MemoryError.threads` where the system does not start as many.
  static func pool(threads: Int?) throws -> WorkerPool {
    if let threads, !(1...WorkerPool.maximumThreads).contains(threads) {
      throw UsageError("--threads is \(threads), 1 to \(WorkerPool.maximumThreads) are possible")
    }
    if let threads { try StartLimits.requireAddresses(multipliers: threads) }
    let pool = threads.map { WorkerPool.pool(threads: $0) } ?? .shared
    try StartLimits.requireAddresses(multipliers: pool.threads)
    try pool.requireAllThreads()
    if let note = Processors.current.note(threads: pool.threads) { Terminal.warn("note: \(note)") }
    return pool
  }
}

/// What a run measures.
struct RunPlan {
  /// Layers.
  var items: [RunItem] = []
  /// Whose full training steps follow.
  var networks: [ImageNetwork] = []
  /// Whether any do.
  var trains: Bool { !networks.isEmpty }
  /// Seconds of timing per item.
  var secondsPerItem = 1.0
  /// How often every item is measured, with all the others in between.
  var visits = 1
  /// What all items together should take, verification included; nil: what they take.
  var secondsForItems: Double?
  /// Seconds of training of each network, and how many steps at most.
  var trainingSeconds = 0.0
  var trainingSteps = 0

  /// Seconds of timing for item `index` of `count`: a run that is late, on a slower or busier machine, takes fewer samples.
  func secondsForItem(_ index: Int, of count: Int, elapsed: Double) -> Double {
    guard let secondsForItems, count > 0 else { return secondsPerItem }
    // Nothing is late before the first item.
    let isLate = index > 0 && elapsed > secondsForItems * Double(index) / Double(count)
    return isLate ? secondsPerItem * 0.4 : secondsPerItem
  }
}
