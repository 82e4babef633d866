import ConvCore
import Foundation

/// How large the elements of a plan's operands may be for all of its intermediate values and results to be finite, whatever their signs.
///
/// Derived from the plan's error model by magnitudes alone. With K terms in a sum, R the largest finite number and |x|, |w| the largest
/// magnitudes of the two operands of the pass:
///
/// - **sums of products**: every partial sum is at most K·|x|·|w|.
/// - **Winograd**, per axis: bₑ, gₑ the sums of magnitudes of row e of Bᵀ and G. Transformed tiles are at most max b·|x| and
///   max g·|w|, products bₑ·gₑ·|x|·|w| in plane e, results maxᵢ Σₑ |Aᵀᵢₑ|·bₑ·gₑ times as much as one product; both axes multiply.
///   Kernels share sums between the rows of a pair of points ±a: o of o + a·e is 1/a as large as the row, and two planes of Aᵀ
///   are added before they are scaled.
/// - **Fourier** transforms of L elements, not normalized: |X| ≤ L·|x|, |W| ≤ min(L, taps)·|w|, twice that where two real lines are one
///   complex one. A partial sum of the inverse transform is at most Σ|M| ≤ L·√(Σy²) ≤ L^{3/2}·max|y| (Cauchy–Schwarz and Parseval),
///   |y| ≤ K·|x|·|w|.
/// - **polyphase**: the phases' results add up.
///
/// Each is divided by (1 + u)ⁿ for n roundings one after the other. Results beyond these limits may be finite; within them they are.
public struct FiniteRange: Sendable, Hashable {
  /// The largest magnitude of the first operand of the pass (x, dy, x), of the second (w, w, dy), and of the product of both.
  public var first, second, product: Double

  /// The range of a plan for an operation.
  public init(_ model: ErrorModel, _ pass: ConvPass, _ problem: ConvProblem, _ elementType: ElementType) {
    let largest =
      elementType == .float64 ? Double.greatestFiniteMagnitude : Double(Float.greatestFiniteMagnitude)
    let terms = Double(problem.summationDepth(pass))
    /// The limit of something that is `gain` times as large and has seen `roundings`.
    func limit(_ gain: Double, _ roundings: Double) -> Double {
      largest / max(1, gain) / exp((roundings + 4) * elementType.unitRoundoff)
    }
    switch model {
    case .summation:
      (first, second, product) = (largest, largest, limit(terms, terms))
    case .winograd(let vertical, let horizontal, _):
      let axes = [vertical, horizontal].map(AxisGain.init)
      func both(_ gain: (AxisGain) -> Double) -> Double { gain(axes[0]) * gain(axes[1]) }
      let planes: Double
      switch pass {
      case .forward: planes = Double(problem.cPerGroup * problem.filter.d)
      case .backwardData: planes = Double(problem.kPerGroup * problem.filter.d)
      case .backwardFilter:
        planes =
          Double(problem.n * problem.output.d)
          * Double(WinogradBounds.countTiles(problem.output.h, problem.dilation.h, vertical.r))
          * Double(WinogradBounds.countTiles(problem.output.w, problem.dilation.w, horizontal.r))
      }
      let roundings = Double(8 * (vertical.tile + horizontal.tile))
      first = limit(both(\.data), roundings)
      second = limit(both(\.filter), roundings)
      product = limit(planes * both(\.result), planes + roundings)
    case .fft(let height, let width, _, _, _):
      let elements = Double(height) * Double(width)
      let taps =
        pass == .backwardFilter ? elements : min(elements, Double(problem.filter.h * problem.filter.w))
      let roundings = 16 * (log2(max(2, elements)) + 2)
      first = limit(2 * elements, roundings)
      second = limit(2 * taps, roundings)
      product = limit(2 * elements * elements.squareRoot() * terms, terms + roundings)
    case .polyphase(let models):
      let parts = models.map { FiniteRange($0, pass, problem, elementType) }
      first = parts.map(\.first).min() ?? largest
      second = parts.map(\.second).min() ?? largest
      product =
        1 / parts.reduce(0) { $0 + 1 / $1.product } / exp(Double(parts.count) * elementType.unitRoundoff)
    }
  }

  /// Says that operands are beyond the limits, with both; nil where they are not. Elements that are no numbers do not count.
  func excess(_ data: ProblemData, _ pass: ConvPass) -> String? {
    func largest(_ tensor: Tensor) -> Double {
      func scan<T: ConvScalar>(_: T.Type) -> Double {
        tensor.values(as: T.self).reduce(0) { $1.isFinite ? max($0, abs(Double($1))) : $0 }
      }
      return tensor.elementType == .float64 ? scan(Double.self) : scan(Float.self)
    }
    let operands = data.operands(of: pass)
    let (a, b) = (largest(operands.0), largest(operands.1))
    if a <= first && b <= second && a * b <= product { return nil }
    let names = NonFiniteCheck.operandNames(pass)
    return "the plan is finite for \(text(pass)), here |\(names[0])| is up to \(RunReport.scientific(a)) and "
      + "|\(names[1])| up to \(RunReport.scientific(b))"
  }

  /// As in `|x|·|w| up to 1.4e+35, |x| up to 3.3e+36, |w| up to 3.4e+38`, rounded down; operands that only the element type
  /// limits are left out.
  public func text(_ pass: ConvPass) -> String {
    let names = NonFiniteCheck.operandNames(pass)
    func rounded(_ value: Double) -> String {
      let nearest = String(format: "%.1e", value)
      guard let shown = Double(nearest), shown > value else { return nearest }
      let unit = pow(10, floor(log10(value)) - 1)
      return String(format: "%.1e", floor(value / unit) * unit)
    }
    var parts = ["|\(names[0])|·|\(names[1])| up to \(rounded(product))"]
    for (name, limit) in [(names[0], first), (names[1], second)] where !isPlain {
      parts.append("|\(name)| up to \(rounded(limit))")
    }
    return parts.joined(separator: ", ")
  }

  /// Whether each operand may be as large as its type allows.
  private var isPlain: Bool {
    [Double(Float.greatestFiniteMagnitude), .greatestFiniteMagnitude].contains(first) && first == second
  }

  /// One axis of a Winograd transform: by how much each stage may enlarge the largest magnitude, 1 at least.
  private struct AxisGain {
    let data, filter, result: Double

    init(_ transform: WinogradTransform) {
      let (tile, r) = (transform.tile, transform.r)
      func row(_ values: [Double], _ index: Int, _ count: Int) -> Double {
        values[index * count..<(index + 1) * count].reduce(0) { $0 + abs($1) }
      }
      let b = (0..<tile).map { row(transform.bt, $0, tile) }
      let g = (0..<tile).map { row(transform.g, $0, r) }
      // The magnitude of point e stands in G as the quotient of neighbours; 0 and infinity have none.
      func unscaled(_ e: Int) -> Double {
        guard r > 1, transform.g[e * r] != 0, transform.g[e * r + 1] != 0 else { return 1 }
        return max(1, abs(transform.g[e * r] / transform.g[e * r + 1]))
      }
      data = max(1, (0..<tile).map { b[$0] * unscaled($0) }.max() ?? 1)
      filter = max(1, g.max() ?? 1)
      let products = (0..<tile).map { b[$0] * g[$0] }
      let sums = (0..<transform.m).map { i in
        (0..<tile).reduce(0) { $0 + abs(transform.at[i * tile + $1]) * products[$1] }
      }
      let pair = r > 1 ? 2 * (products.max() ?? 1) : 1
      result = max(1, sums.max() ?? 1, pair)
    }
  }
}

extension Verification {
  /// Adds to the reason for a result that is no number that the operands are too large for the plan, where they are.
  mutating func explainOverflow(of plan: any ConvPlan, _ data: ProblemData) {
    guard verdict == .failed, !errorRatio.isFinite else { return }
    let (pass, problem) = (plan.operation.pass, plan.operation.problem)
    let range = FiniteRange(plan.errorModel, pass, problem, data.elementType)
    reason += range.excess(data, pass).map { "; \($0)" } ?? ""
  }
}

/// One law on one operation: results of data as large as `FiniteRange` allows are finite, and those of the same data near 1 times a power
/// of two, bit by bit, but for what is below 2⁻¹⁰⁰; these are within their bounds.
struct HugeValueCheck {
  let backend: any ConvolutionBackend
  let operation: ConvOperation
  let options: PlanOptions
  let seed: UInt64
  let pool: WorkerPool

  /// The largest quotient of an error of the unscaled results and its bound, and a description of the first wrong result; nil where
  /// all are right.
  ///
  /// - Throws: `ConvError.unsupported` where the engine declines; what its plan throws.
  func compare() throws -> (ratio: Double, difference: String?) {
    let (problem, pass) = (operation.problem, operation.pass)
    if let reason = backend.support(for: operation, options).reason {
      throw ConvError.unsupported(backend: backend.name, operation: "\(operation)", reason: reason)
    }
    let plan = try backend.plan(for: operation, options)
    let verifier = Verifier(pool: pool)
    let range = FiniteRange(plan.errorModel, pass, problem, operation.elementType)
    var worst = 0.0
    // One sign throughout is the worst for plain sums; transforms need both.
    for hasSigns in [false, true] {
      for isFirstLarge in [true, false] {
        let scales = HugeValueCheck.scales(range, isFirstLarge: isFirstLarge)
        let data = try self.data(scales, hasSigns: hasSigns, exponents: (0, 0))
        let result = try verifier.execute(plan, data)
        let grid = SampleGrid.stratified(problem, pass, seed: seed)
        let expectation = Expectation(grid: grid, data: data, pool: pool)
        guard
          let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
        else {
          throw ConvError.unsupported(
            backend: backend.name, operation: "\(operation)",
            reason: "its error model \(plan.errorModel) does not describe the problem")
        }
        let verification = Verification(
          results: Verifier.values(of: result, at: grid), expectation: expectation, bounds: bounds)
        worst = max(worst, verification.errorRatio)
        if verification.verdict == .failed { return (worst, verification.reason) }
        let large = try self.data(
          scales, hasSigns: hasSigns, exponents: (scales.first.exponent, scales.second.exponent))
        let extent = SampleGrid.extent(problem, pass)
        let (base, huge) = (
          try Block(result, extent).values, try Block(verifier.execute(plan, large), extent).values
        )
        for i in huge.indices {
          let power = Int(scales.first.exponent) + Int(scales.second.exponent)
          let right = Double(sign: .plus, exponent: power, significand: base[i])
          // What is next to nothing near 1 has lost digits to subnormal numbers there.
          if abs(huge[i] - right) <= Double(sign: .plus, exponent: power - 100, significand: 1) { continue }
          let names = NonFiniteCheck.operandNames(pass)
          return (
            .infinity,
            "result \(i) of \(huge.count) is \(huge[i]) where \(right) is expected for |\(names[0])| = "
              + "\(scales.first) and |\(names[1])| = \(scales.second); the limits are \(range.first), "
              + "\(range.second) and \(range.product) for the product"
          )
        }
      }
    }
    return (worst, nil)
  }

  /// Magnitudes at the limit of the product, with one operand as large as it may be and a power of two.
  static func scales(_ range: FiniteRange, isFirstLarge: Bool) -> (first: Double, second: Double) {
    func power(_ limit: Double) -> Double { Double(sign: .plus, exponent: limit.exponent, significand: 1) }
    // 11 bits of the significand: products of operands are exact.
    func cut(_ value: Double) -> Double {
      let unit = power(value) * 0x1p-10
      return (value / unit).rounded(.down) * unit
    }
    let large = power(isFirstLarge ? range.first : range.second)
    let other = cut(min(isFirstLarge ? range.second : range.first, range.product / large))
    return isFirstLarge ? (large, other) : (other, large)
  }

  /// Operands of the two magnitudes, divided by the power of two in them and multiplied by the one of `exponents`.
  private func data(
    _ scales: (first: Double, second: Double), hasSigns: Bool, exponents: (Double.Exponent, Double.Exponent)
  ) throws -> ProblemData {
    let problem = operation.problem
    func tensor(_ shape: [Int], _ stream: UInt32, _ scale: Double, _ exponent: Int) throws -> Tensor {
      let philox = Philox(seed: seed, stream: stream)
      let value = Double(sign: .plus, exponent: exponent, significand: scale.significand)
      let values = (0..<shape.reduce(1, *)).map {
        hasSigns && philox.word(at: UInt64($0)) % 2 == 0 ? -value : value
      }
      return try Tensor(values, shape: shape).converted(to: operation.elementType)
    }
    let (first, second) = ((scales.first, exponents.0), (scales.second, exponents.1))
    let (x, w, y) =
      switch operation.pass {
      case .forward: (first, second, (1.0, 0))
      case .backwardData: ((1.0, 0), second, first)
      case .backwardFilter: (first, (1.0, 0), second)
      }
    return try ProblemData(
      problem: problem, input: tensor(problem.inputShape, 1, x.0, x.1),
      filter: tensor(problem.filterShape, 2, w.0, w.1),
      outputGradient: tensor(problem.outputShape, 3, y.0, y.1))
  }
}
