public import ConvCore

/// Prices of work from measured times: non-negative least squares of the relative errors, drawn towards prices that are known.
///
/// With amounts aᵢ, times tᵢ and prior prices p it minimises Σ wᵢ² (aᵢ·x / tᵢ − 1)² + λ² Σ ((xⱼ − s·pⱼ) / uⱼ)² over prices x that are
/// not negative and do not fall with the distance of memory; u are the kinds' usual prices, s is the median of what the times are of
/// the prior's predictions. Where the samples say nothing of a kind, it so costs what it costs elsewhere, at this machine's speed.
/// Weights fall with the residuals (iteratively reweighted: P. J. Huber, *Robust Statistics*, 1981, section 7.8) and with the distance
/// from the fastest way to do the same operation, since prices are there to find that one.
public struct PriceFit: Sendable {
  /// One measured plan.
  public struct Sample: Sendable {
    public var work: ConvWork
    public var nanoseconds: Double
    /// Samples with equal numbers do the same operation.
    public var item: Int

    /// A sample from its parts.
    public init(work: ConvWork, nanoseconds: Double, item: Int) {
      self.work = work
      self.nanoseconds = nanoseconds
      self.item = item
    }
  }

  /// What came out, to four significant digits.
  public let prices: WorkPrices
  /// Predicted over measured times, in the order of the samples.
  public let ratios: [Double]

  /// λ: weight of the prior against a hundred samples.
  static let priorWeight = 0.3
  /// Residual at which a sample's weight begins to fall.
  static let huberLimit = 0.1
  private static let reweightings = 5

  /// Fits prices. Samples whose time is not finite and positive are left out.
  public init(_ samples: [Sample], prior: WorkPrices) {
    let usable = samples.filter { $0.nanoseconds > 0 && $0.nanoseconds.isFinite }
    let units = ConvWork.Kind.allCases.map(PriceFit.unit)
    let rows = usable.map { sample in
      zip(PriceFit.cumulated(sample.work), units).map { $0 * $1 / sample.nanoseconds }
    }
    let ratios = usable.map { $0.nanoseconds / prior.nanoseconds($0.work) }.filter(\.isFinite)
    let speed = ratios.isEmpty ? 1 : Statistics.median(ratios)
    let target = zip(PriceFit.steps(of: prior), units).map { speed * $0 / $1 }
    let ridge = PriceFit.priorWeight * (Double(usable.count) / 100).squareRoot()
    let importance = PriceFit.importance(usable)
    var weights = importance
    var solution = target
    for _ in 0..<PriceFit.reweightings {
      solution = PriceFit.solve(rows, weights, ridge: ridge, towards: target, from: solution)
      weights = zip(rows, importance).map { row, importance in
        let residual = zip(row, solution).reduce(-1) { $0 + $1.0 * $1.1 }
        // A time that is far too short makes its row too large: beyond twice the time the prediction divides.
        return importance * min(1, PriceFit.huberLimit / max(abs(residual), 1e-9)).squareRoot()
          / max(1, residual)
      }
    }
    let prices = PriceFit.prices(steps: zip(solution, units).map { $0 * $1 })
    self.prices = prices
    self.ratios = samples.map { prices.nanoseconds($0.work) / $0.nanoseconds }
  }

  /// Usual nanoseconds of one unit, by which deviations are measured.
  private static func unit(_ kind: ConvWork.Kind) -> Double {
    switch kind {
    case .products, .implicitProducts, .libraryProducts, .windows, .transforms, .spectralProducts: 0.005
    case .plainTransforms: 0.05
    case .fourier, .libraryTransforms: 0.5
    case .modelled: 1
    case .calls: 50
    case .libraryCalls: 500
    case .runs: 3
    default: 0.02
    }
  }

  /// 1 for the fastest of an item, less for what nobody would choose.
  private static func importance(_ samples: [Sample]) -> [Double] {
    var best: [Int: Double] = [:]
    for sample in samples { best[sample.item] = min(best[sample.item] ?? .infinity, sample.nanoseconds) }
    return samples.map { sample in
      let ratio = sample.nanoseconds / (best[sample.item] ?? sample.nanoseconds)
      return ratio < 1.5 ? 1 : ratio < 3 ? 0.5 : 0.15
    }
  }

  // MARK: Steps

  // The unknowns are what each distance of memory costs more than the nearer one: that they are not negative keeps prices in order.

  /// Amounts by what the steps price: the near step is paid by far bytes, too.
  private static func cumulated(_ work: ConvWork) -> [Double] {
    var amounts = ConvWork.Kind.allCases.map { work[$0] }
    for access in ConvWork.Access.allCases {
      let (near, shared, far) = access.kinds
      amounts[shared.rawValue] += amounts[far.rawValue]
      amounts[near.rawValue] += amounts[shared.rawValue]
    }
    return amounts
  }

  /// Prices as steps; a price that falls with the distance is taken for no step.
  private static func steps(of prices: WorkPrices) -> [Double] {
    var steps = ConvWork.Kind.allCases.map { prices[$0] }
    for access in ConvWork.Access.allCases {
      let (near, shared, far) = access.kinds
      steps[shared.rawValue] = max(0, prices[shared] - prices[near])
      steps[far.rawValue] = max(0, prices[far] - max(prices[near], prices[shared]))
    }
    return steps
  }

  private static func prices(steps: [Double]) -> WorkPrices {
    var sums = steps
    for access in ConvWork.Access.allCases {
      let (near, shared, far) = access.kinds
      sums[shared.rawValue] += sums[near.rawValue]
      sums[far.rawValue] += sums[shared.rawValue]
    }
    var prices = WorkPrices()
    for kind in ConvWork.Kind.allCases { prices[kind] = rounded(sums[kind.rawValue]) }
    return prices
  }

  /// To four significant digits: a profile's text says all of it.
  private static func rounded(_ price: Double) -> Double {
    // Below a femtosecond a unit nothing is told from nothing.
    guard price > 1e-6 else { return 0 }
    var scale = 1.0
    while price * scale < 1000 { scale *= 10 }
    return (price * scale).rounded() / scale
  }

  // MARK: Least squares

  /// Coordinate descent on the normal equations: the problem is convex and every step exact, so that it goes to the one minimum.
  private static func solve(
    _ rows: [[Double]], _ weights: [Double], ridge: Double, towards target: [Double], from start: [Double]
  ) -> [Double] {
    let count = start.count
    var gram = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    var right = target.map { ridge * ridge * $0 }
    for (row, weight) in zip(rows, weights) {
      let square = weight * weight
      for i in 0..<count where row[i] != 0 {
        right[i] += square * row[i]
        for j in 0..<count { gram[i][j] += square * row[i] * row[j] }
      }
    }
    for i in 0..<count { gram[i][i] += ridge * ridge }
    var x = start
    for _ in 0..<mostSweeps {
      var largest = 0.0
      for i in 0..<count where gram[i][i] > 0 {
        let others = zip(gram[i], x).reduce(0) { $0 + $1.0 * $1.1 } - gram[i][i] * x[i]
        let next = max(0, (right[i] - others) / gram[i][i])
        largest = max(largest, abs(next - x[i]))
        x[i] = next
      }
      if largest < 1e-7 { break }
    }
    return x
  }

  private static let mostSweeps = 5000
}
