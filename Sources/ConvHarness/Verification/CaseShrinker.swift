import ConvCore

/// Makes a failing problem as small as it can be while it still fails (greedy, in the manner of delta debugging: A. Zeller, R. Hildebrandt:
/// *Simplifying and isolating failure-inducing input*, IEEE Trans. Softw. Eng. 28, 2002).
///
/// Each number of the problem in turn (batch, groups, channels, stride, dilation, padding, filter, image) is set to its least value, then
/// halved, then lowered by one; the first change with which the problem still fails is kept and the search begins again. Every
/// change lowers a number, so it ends; what comes out fails, and none of the single changes would.
public struct CaseShrinker: Sendable {
  /// Seconds after which the best problem so far is taken.
  public let seconds: Double

  /// A shrinker with a budget.
  public init(seconds: Double) { self.seconds = seconds }

  /// What came out.
  public struct Shrunk: Sendable {
    /// The smallest failing problem that was found.
    public var problem: ConvProblem
    /// Problems that were tried.
    public var attempts: Int
    /// Whether no single change is left that fails (else the time was up).
    public var isMinimal: Bool
  }

  /// The smallest problem found for which `fails` is true; `problem` itself has to fail.
  public func shrink(
    _ problem: ConvProblem, shouldStop: () -> Bool = { false }, fails: (ConvProblem) -> Bool
  ) -> Shrunk {
    let start = ContinuousClock.now
    var best = Shrunk(problem: problem, attempts: 0, isMinimal: false)
    var tried = Set<ConvProblem>()
    search: while true {
      for candidate in CaseShrinker.candidates(best.problem) where tried.insert(candidate).inserted {
        if (ContinuousClock.now - start).seconds > seconds || shouldStop() { return best }
        best.attempts += 1
        if fails(candidate) {
          best.problem = candidate
          continue search
        }
      }
      best.isMinimal = true
      return best
    }
  }

  /// Valid problems that are smaller in one number, the largest steps first.
  static func candidates(_ problem: ConvProblem) -> [ConvProblem] {
    var result: [ConvProblem] = []
    func add(_ value: Int, least: Int, _ change: (inout Shape, Int) -> Void) {
      var smaller: [Int] = []
      for candidate in [least, value / 2, value - 1]
      where candidate >= least && candidate < value && !smaller.contains(candidate) {
        smaller.append(candidate)
      }
      for candidate in smaller {
        var shape = Shape(problem)
        change(&shape, candidate)
        if let problem = try? shape.problem() { result.append(problem) }
      }
    }
    add(problem.n, least: 1) { $0.n = $1 }
    add(problem.groups, least: 1) { $0.groups = $1 }
    add(problem.cPerGroup, least: 1) { $0.c = $1 }
    add(problem.kPerGroup, least: 1) { $0.k = $1 }
    for axis in problem.axesInUse {
      add(problem.stride[axis], least: 1) { $0.stride[axis] = $1 }
      add(problem.dilation[axis], least: 1) { $0.dilation[axis] = $1 }
      add(problem.padding.before[axis], least: 0) { $0.before[axis] = $1 }
      add(problem.padding.after[axis], least: 0) { $0.after[axis] = $1 }
      add(problem.filter[axis], least: 1) { $0.filter[axis] = $1 }
      add(problem.input[axis], least: 1) { $0.input[axis] = $1 }
    }
    return result
  }

  /// A problem's numbers, channels per group.
  private struct Shape {
    var rank, n, c, k, groups: Int
    var input, filter, stride, dilation, before, after: Extent

    init(_ problem: ConvProblem) {
      (rank, n, groups) = (problem.spatialRank, problem.n, problem.groups)
      (c, k) = (problem.cPerGroup, problem.kPerGroup)
      (input, filter) = (problem.input, problem.filter)
      (stride, dilation) = (problem.stride, problem.dilation)
      (before, after) = (problem.padding.before, problem.padding.after)
    }

    func problem() throws -> ConvProblem {
      try ConvProblem(
        spatialRank: rank, n: n, c: c * groups, k: k * groups, groups: groups, input: input, filter: filter,
        stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
    }
  }
}
