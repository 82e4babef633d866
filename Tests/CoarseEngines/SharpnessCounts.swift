import ConvCore
import ConvHarness

/// How many rows have which verdict.
public struct VerdictCounts: Hashable, Sendable {
  public var failed = 0, mistrusted = 0, passed = 0
  /// Declined: by the honest engine, or because the problem has nothing that the defect could spoil.
  public var unsupported = 0

  /// Rows with a verdict on a result.
  public var judged: Int { failed + mistrusted + passed }

  /// The counts of some rows.
  public init(_ rows: some Sequence<SharpnessRow>) {
    for row in rows {
      switch row.verdict {
      case .failed: failed += 1
      case .mistrusted, .missingReference: mistrusted += 1
      case .passed: passed += 1
      case .unsupported: unsupported += 1
      }
    }
  }

  /// `12 / 1 / 0`: failed, mistrusted, passed; empty where nothing was judged.
  public var text: String { judged == 0 ? "" : "\(failed) / \(mistrusted) / \(passed)" }
}

extension SharpnessRow {
  /// What is demanded of the row's engine; of honest ones nothing here.
  public var demand: Demand {
    table == .coarse ? Defect.all.first { engine.hasPrefix("\($0.name) of ") }?.demand ?? .none : .none
  }

  /// Why the row contradicts what the verdicts are to show, or nil.
  ///
  /// A coarse engine's result was taken for right, or an honest one's for wrong.
  public var contradiction: String? {
    switch (table, verdict) {
    case (.coarse, .passed): demand == .none ? nil : "a coarse result passed"
    case (.honest, .failed), (.data, .failed): "an honest result failed"
    default: nil
    }
  }
}

/// What the demands on a whole table come to.
public struct SharpnessSummary: Sendable {
  /// Rows that contradict the verdicts' purpose.
  public let contradictions: [SharpnessRow]
  /// Rows of engines with a demand that stayed mistrusted after all repetitions.
  public let mistrusted: [SharpnessRow]
  /// Judged rows of engines with a demand.
  public let judged: Int

  /// Honest engines whose largest error of all layers is no `sharpRatios` of its bound: the bounds would not see a coarser one.
  public let blunt: [String]

  /// How near to its bound the worst row of an honest engine comes where bounds are sharp.
  public static let sharpRatios = 0.05...1.0

  /// Of those, at most one in a hundred may stay mistrusted.
  public var allowedMistrusted: Int { judged / 100 }

  /// Whether a table shows what it must.
  public var isSharp: Bool {
    contradictions.isEmpty && mistrusted.count <= allowedMistrusted && blunt.isEmpty
  }

  /// The summary of rows.
  ///
  /// - Parameter isWhole: whether the rows of all suites are there, so that the largest errors say something.
  public init(_ rows: [SharpnessRow], isWhole: Bool = false) {
    contradictions = rows.filter { $0.contradiction != nil }
    let demanded = rows.filter { $0.table != .coarse || $0.demand != .none }
    mistrusted = demanded.filter { VerdictCounts([$0]).mistrusted > 0 }
    judged = VerdictCounts(demanded).judged
    var largest: [String: Double] = [:]
    for row in rows where row.table == .honest && !row.errorRatio.isNaN {
      largest[row.engine] = max(largest[row.engine] ?? 0, row.errorRatio)
    }
    blunt = isWhole ? largest.filter { !Self.sharpRatios.contains($0.value) }.keys.sorted() : []
  }
}
