/// What a quantity may deviate by at a κ, from its envelopes at the stored levels: 2 × the envelope of the least level at or above
/// 2·κ.
///
/// **Nothing is interpolated.** Between two levels an envelope has steps, one wherever a ReLU or a maximum falls the other way, and
/// where the step is nobody knows: it may lie just above the lower level, and the chord between both would be far below what happens.
/// The upper level has it whatever the place, since the runs of a level keep the bounds of all levels above it.
///
/// **The margin of 4 in two parts.** An envelope is the maximum of a few runs. Where the network is differentiable another run
/// exceeds it by a factor, which 2 × covers; where a ReLU falls the other way in one run of ten it exceeds it by any factor, and what
/// helps is a larger perturbation, which makes more of them fall. Both together are as wide as 4 × the envelope at κ where deviations
/// are linear: there twice the level is twice the envelope.
struct EnvelopeScale: Hashable, Sendable {
  /// Both parts.
  static let margin = 2.0
  /// The stored level that counts.
  let level: Int

  /// Nil where 2·κ is above every level.
  init?(_ kappa: Double, levels: [Int]) {
    guard let level = levels.filter({ Double($0) >= EnvelopeScale.margin * kappa }).min() else { return nil }
    self.level = level
  }

  /// What may be, given the envelopes of a level by `stored`.
  func allowance(_ stored: (_ level: Int) throws -> [Double]) rethrows -> [Double] {
    try stored(level).map { EnvelopeScale.margin * $0 }
  }
}
