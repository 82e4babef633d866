public import ConvCore

/// What a coarse engine does worse than the honest one whose plans it hides behind.
public enum Defect: Hashable, Sendable {
  /// Which tap of the filter is lost.
  public enum Place: String, Sendable, Hashable, CaseIterable { case centre, last }

  /// Both operands rounded to so many significant bits, to nearest even: 11 are TF32's and float16's, 8 bfloat16's.
  case roundedOperands(bits: Int)
  /// Every second product summed in bfloat16, the others in float32.
  case halfBfloat16
  /// One tap of all filters is zero; for backwardFilter one row of dy.
  case lostTap(Place)
  /// The last channel that is summed over, of each group; for backwardFilter the last image, with one image the first row of dy.
  case lostChannel
  /// One result, at a place drawn from a seed, is off by the results' root mean square.
  case wrongResult
  /// One result, at a place drawn from a seed, is off by one hundredth of itself.
  case inexactResult
  /// Only so many results are right, the first in memory; the others are one hundredth too large.
  case rightAtFirst(Int)

  /// All that are wrapped around a plan, in the order of tables.
  public static let all: [Defect] = [
    .roundedOperands(bits: 16), .roundedOperands(bits: 11), .roundedOperands(bits: 8), .halfBfloat16,
    .lostTap(.centre), .lostTap(.last), .lostChannel, .wrongResult, .inexactResult, .rightAtFirst(4096),
  ]

  /// One word for tables.
  public var name: String {
    switch self {
    case .roundedOperands(let bits): "operands-\(bits)-bits"
    case .halfBfloat16: "half-bfloat16"
    case .lostTap(let place): "lost-tap-\(place.rawValue)"
    case .lostChannel: "lost-channel"
    case .wrongResult: "wrong-result"
    case .inexactResult: "inexact-result"
    case .rightAtFirst(let count): "right-at-first-\(count)"
    }
  }

  /// What tables demand of it.
  public var demand: Demand {
    switch self {
    case .roundedOperands(let bits): bits > 11 ? .none : .notPassed
    case .halfBfloat16, .rightAtFirst: .notPassed
    case .lostTap, .lostChannel, .wrongResult: .failed
    // A hundredth of a result near zero is no error that anybody could see.
    case .inexactResult: .none
    }
  }

  /// Why the operation has nothing of the kind, or nil.
  public func absence(in operation: ConvOperation) -> String? {
    let problem = operation.problem
    switch self {
    case .lostTap(.centre):
      let extent = operation.pass == .backwardFilter ? problem.output : problem.filter
      let lost = Slice.lostTap(.centre, operation)
      return lost == Slice.lostTap(.last, operation)
        ? "of \(extent.d)×\(extent.h)×\(extent.w) the centre is the last" : nil
    case .halfBfloat16:
      return problem.summationDepth(operation.pass) == 1 ? "results are single products" : nil
    case .lostChannel:
      let summed = operation.pass == .forward ? problem.cPerGroup : problem.kPerGroup
      return operation.pass != .backwardFilter && summed == 1 ? "one channel only is summed" : nil
    case .rightAtFirst(let count):
      let results = problem.resultShape(operation.pass).reduce(1, *)
      return results <= count ? "there are \(results) results only" : nil
    default: return nil
    }
  }
}

/// What a table of coarse engines must show.
public enum Demand: Sendable, Hashable {
  /// It informs only.
  case none
  /// Failed, or mistrusted in a hundredth of the rows at most.
  case notPassed
  /// Never passed, and mistrusted as seldom.
  case failed
}
