/// How far two runs agree on which engine is the fastest, item by item. What chooses among engines in either run does not count.
public struct WinnerAgreement: Sendable {
  /// An item of which both runs are certain, of different backends.
  public struct Contradiction: Sendable {
    /// The first run's fastest row, and the second one's.
    public let first: ResultRow
    public let second: ResultRow
  }

  /// Items in which both runs timed at least the same two backends.
  public private(set) var items = 0
  /// Items with the same fastest backend.
  public private(set) var same = 0
  /// Items in which the fastest backends differ, but at least one run does not tell the two apart.
  public private(set) var withinIntervals = 0
  /// Items in which each run says that the other one's fastest backend is slower, by an interval that excludes 1 and more than 2 %.
  public private(set) var contradictions: [Contradiction] = []

  /// Compares the fastest backends of two runs.
  public init(_ before: RunReport, _ after: RunReport) {
    // Files from before there were roles call choosers engines.
    let choosers = Set((before.rows + after.rows).filter { $0.role == .chooser }.map(\.backend))
    let old = WinnerAgreement.timed(before.rows)
    for (key, rows) in WinnerAgreement.timed(after.rows) {
      guard let earlier = old[key] else { continue }
      let common = Set(rows.map(\.backend)).intersection(earlier.map(\.backend)).subtracting(choosers)
      guard common.count > 1, let second = WinnerAgreement.fastest(rows, of: common),
        let first = WinnerAgreement.fastest(earlier, of: common)
      else { continue }
      items += 1
      if first.backend == second.backend {
        same += 1
      } else if WinnerAgreement.isSlower(second.backend, in: earlier)
        && WinnerAgreement.isSlower(first.backend, in: rows)
      {
        contradictions.append(Contradiction(first: first, second: second))
      } else {
        withinIntervals += 1
      }
    }
    contradictions.sort { $0.second.itemKey.lexicographicallyPrecedes($1.second.itemKey) }
  }

  /// The rows with a time by item; the second layer of a key has a key of its own.
  private static func timed(_ rows: [ResultRow]) -> [[String]: [ResultRow]] {
    var counts: [[String]: Int] = [:]
    var result: [[String]: [ResultRow]] = [:]
    for item in ItemRows.all(rows) {
      let key = item.rows[0].itemKey
      counts[key, default: 0] += 1
      result[key + ["\(counts[key] ?? 0)"]] = item.timed
    }
    return result
  }

  private static func fastest(_ rows: [ResultRow], of backends: Set<String>) -> ResultRow? {
    rows.filter { backends.contains($0.backend) }.min { $0.medianMilliseconds < $1.medianMilliseconds }
  }

  private static func isSlower(_ backend: String, in rows: [ResultRow]) -> Bool {
    rows.contains { $0.backend == backend && $0.best?.verdict == .slower }
  }
}
