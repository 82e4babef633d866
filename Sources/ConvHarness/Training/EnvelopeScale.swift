import Foundation

/// Envelopes at a κ between the stored levels.
///
/// What perturbations of size κ make of a quantity is a sum of powers of κ with positive factors: κ itself where the network is
/// differentiable, κ² where a ReLU or a maximum falls the other way (as many as κ, each with a step of size κ), √κ for the norm of
/// as many steps of a fixed size (Adam's first ones). The logarithm of such a sum is a convex function of log κ (as is every
/// log-sum-exp), so that it lies below the chord between two levels: the envelope at κ is at most
/// envelope(l)^(1−t)·envelope(L)^t with t = log(κ/l)/log(L/l), for levels l ≤ κ ≤ L. Below the first level that level counts; where the
/// lower envelope is 0, the upper one does.
struct EnvelopeScale: Sendable {
  /// The stored levels on both sides.
  let lower: Int, upper: Int
  private let share: Double

  /// Nil where κ is above every level.
  init?(_ kappa: Double, levels: [Int]) {
    let sorted = levels.sorted()
    guard let upper = sorted.first(where: { Double($0) >= kappa }) else { return nil }
    self.upper = upper
    lower = sorted.last { Double($0) <= kappa } ?? upper
    share =
      lower == upper ? 1 : log(kappa / Double(lower)) / log(Double(upper) / Double(lower))
  }

  /// The envelope, given those of both levels by `stored`.
  func envelope(_ stored: (_ level: Int) throws -> [Double]) rethrows -> [Double] {
    let high = try stored(upper)
    if lower == upper { return high }
    return zip(try stored(lower), high).map { low, high in
      low > 0 && high > low ? low * pow(high / low, share) : high
    }
  }
}
