import ConvCore

/// What numbers of stored runs may be: no run writes others, and what is computed from these overflows nowhere.
enum StoredRange {
  /// Bytes: no memory has more.
  static let bytes = 0...1 << 60
  /// Threads of a pool; 0 in what was read before there were any.
  static let threads = 0...WorkerPool.maximumThreads
  /// Results, executions, rounds, steps, images.
  static let counts = 0...1 << 53
  /// Rounds of a row, visits of an item, steps of a training: one more is a number all the same.
  static let rounds = 0...1 << 32

  /// Why a finite number is none of a run's, or nil.
  static func refusal(of value: Double) -> String? {
    abs(value) <= 1e100 ? nil : "\(value) is out of range: magnitudes up to 1e100 are possible"
  }
}
