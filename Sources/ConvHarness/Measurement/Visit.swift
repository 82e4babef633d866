/// One of the times that an item is measured.
///
/// What differs between two runs, such as how busy the machine is and which pages of memory one gets, differs for
/// minutes and is the same in all rounds that follow each other. So a run visits every item several times, with all the others in between,
/// and the rounds of all visits make one interval: repetition belongs on the level where the variation is (Kalibera, Jones, *Rigorous
/// benchmarking in reasonable time*, 2013).
public struct Visit: Sendable, Hashable {
  /// From 0 on.
  public var index: Int
  /// How many there are.
  public var count: Int

  /// Visit `index` of `count`.
  public init(index: Int, of count: Int) {
    precondition((0..<count).contains(index), "visit \(index) of \(count)")
    self.index = index
    self.count = count
  }

  /// All rounds at once.
  public static let only = Visit(index: 0, of: 1)

  /// Whether no other one follows.
  public var isLast: Bool { index == count - 1 }

  /// The part of the sampling that belongs to it: `leastRounds` counts those of the visits before.
  func share(of limits: SamplingLimits) -> SamplingLimits {
    var share = limits
    share.budgetSeconds /= Double(count)
    share.leastRounds = (limits.leastRounds * (index + 1) + count - 1) / count
    share.mostRounds = (limits.mostRounds + count - 1) / count
    // Later visits begin with engines that are known; only caches and threads have to be awakened.
    if index > 0 { share.warmUpSeconds = min(limits.warmUpSeconds, 0.01) }
    return share
  }
}
