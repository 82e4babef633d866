import ConvCore
import Foundation

/// The roundings of one sum, as numbers that are multiplied with what the oracle knows of its terms.
///
/// A sum of k terms p with total y and Q = Σp² is computed by roundings of partial sums s; each is off by δ·s with |δ| ≤ u, so that the
/// error has the variance proxy u²·Σs². Which terms a partial sum holds is the engine's affair. For exchangeable terms (every order
/// equally likely) a sum of j of them has the mean square
///
///     E s² = j/k·Q + j(j − 1)/(k(k − 1))·(y² − Q)
///
/// and Σ E s² over all partial sums is `ofTotal`·y² + `ofTerms`·Q:
///
/// | shape | y² | Q |
/// |-------|----|---|
/// | chain, j = 1 … k | (k + 1)/3 | (k + 1)/6 |
/// | B blocks of L, then a chain of their sums | (m + q)/B + (B + 1)/3 | (L + 1)/6 + (m + q)(1 − 1/B) |
/// | pairs, j = 2, 4, …, k with k/j sums of each | 2 | log₂ k |
/// | unknown blocks of at most `depth` additions a term | the largest of all (L, B) with L + B − 1 ≤ depth | the same |
///
/// In a block m = (L + 1)/3 of its own sum squared, of which E Σ y_b² = Q(1 − 1/B) + y²/B; the chain of block sums, whose first one is no
/// addition, has q = (B + 1)/6 − 1/B of the same.
///
/// Terms that are not exchangeable (a sorted filter, an image whose one half is dark) make larger partial sums. So Σs² of two actual
/// orders counts too where it is larger, times the `share` that a shorter chain has of it: with drifting partial sums (constant
/// terms) blocks have 1/B² + 1/L of a chain's Σs², with wandering ones (terms of mean zero) (L + B)/k; the latter is larger.
///
/// Products round once each (Q, where no fused multiply-add saves it), and the result once more (y²: a bias, a partial result).
struct SumRoundings: Hashable {
  /// Factors of y², of Q, and of Σs² along a chain.
  var ofTotal, ofTerms, share: Double
  /// Additions and products along the longest chain.
  var longest: Int

  /// Of a sum of `terms` terms.
  init(_ shape: SumShape, terms: Int) {
    let k = max(1, terms)
    switch shape {
    case .chain: self = SumRoundings.blocks(k, 1)
    case .blocks(let length):
      let length = min(max(1, length), k)
      self = SumRoundings.blocks(length, (k + length - 1) / length)
    case .pairs:
      let levels = max(1, log2(Double(k)).rounded(.up))
      self.init(
        ofTotal: 2, ofTerms: levels, share: min(1, max(6, 2 * levels) / Double(k)), longest: Int(levels) + 1)
    case .unknown(let depth):
      if depth >= k {
        // A chain has the largest factor of y²; of Q the extremes L = 1 and B = 1 are the largest: (k + 1)/6 + 1/2.
        self = SumRoundings.blocks(k, 1)
        ofTerms += 0.5
        longest = depth
      } else {
        self = SumRoundings.largest(k, depth)
      }
    }
  }

  private init(ofTotal: Double, ofTerms: Double, share: Double, longest: Int) {
    (self.ofTotal, self.ofTerms, self.share, self.longest) = (ofTotal, ofTerms, share, longest)
  }

  /// B blocks of L terms.
  private static func blocks(_ length: Int, _ count: Int) -> SumRoundings {
    let (l, b) = (Double(length), Double(count))
    let ofBlockSums = (l + 1) / 3 + (b + 1) / 6 - 1 / b
    return SumRoundings(
      ofTotal: ofBlockSums / b + (b + 1) / 3, ofTerms: (l + 1) / 6 + ofBlockSums * (1 - 1 / b),
      share: min(1, (l + b) / (l * b)), longest: length + count)
  }

  /// The largest factors of all blocks of k terms in which no term takes part in more than `depth` additions; between the fewest and
  /// the most blocks both factors are convex in B, so that an end has the largest.
  private static func largest(_ k: Int, _ depth: Int) -> SumRoundings {
    // L + B − 1 ≤ depth with L·B ≥ k. Where no blocks fit, the tree is deeper than two levels, and has fewer roundings.
    let (d, terms) = (Double(depth + 1), Double(k))
    let root = max(0, d * d / 4 - terms).squareRoot()
    let most = max(1, d / 2 + root), fewest = max(1, d / 2 - root)
    let ends = [fewest, most].map { blocks(Int((terms / $0).rounded(.up)), Int($0.rounded(.up))) }
    return SumRoundings(
      ofTotal: ends.map(\.ofTotal).max()!, ofTerms: ends.map(\.ofTerms).max()!,
      share: min(1, d / terms), longest: depth)
  }

  /// The variance proxy of a sum, in units of u².
  func squares(total y: Double, terms q: Double, path: Double) -> Double {
    max(ofTotal * y * y + ofTerms * q, share * path) + q + y * y
  }

  /// What a bias adds that may be the first term of the longest chain, and its sum with the result.
  func ofBias(_ bias: Double, total y: Double) -> Double {
    let (b, y) = (abs(bias), abs(y))
    return Double(longest) * b * (b + y) + (b + y) * (b + y)
  }

  /// Of several sums together, of Σ y² and Σ Q.
  func squares(totals: Double, terms: Double) -> Double { (ofTotal + 1) * totals + (ofTerms + 1) * terms }

  /// Of a sum in a wider type: the result alone.
  static let oneRounding = SumRoundings(ofTotal: 0, ofTerms: -1, share: 0, longest: 1)
}
