import ConvCore

/// ⟨conv(x, w), y⟩ = ⟨x, backwardData(y, w)⟩ = ⟨w, backwardFilter(x, y)⟩ with y := conv(x, w): ties the three passes of an engine
/// together at any size, with no reference.
///
/// Dot products are summed in float64. With component-wise bounds b of the three results the products may differ by at most
/// Σ|b·other operand| ≤ ‖b‖₂·‖other‖₂ each; ‖b‖₂ is estimated from stratified samples. It complements references: passes that are
/// derived from each other can be wrong together.
public struct AdjointIdentity: Sendable {
  /// ⟨conv(x, w), y⟩.
  public let forward: Double
  /// ⟨x, backwardData(y, w)⟩.
  public let backwardData: Double
  /// ⟨w, backwardFilter(x, y)⟩.
  public let backwardFilter: Double
  /// How far each product may be from the exact one, in the same order.
  public let tolerances: [Double]

  /// Whether the three agree.
  public var holds: Bool { ratio <= 1 }

  /// The largest quotient of a difference of two products and the sum of their tolerances; infinite where one is not finite.
  public var ratio: Double {
    let products = [forward, backwardData, backwardFilter]
    guard products.allSatisfy(\.isFinite) else { return .infinity }
    var worst = 0.0
    for i in 0..<3 {
      for j in 0..<i where products[i] != products[j] {
        worst = max(worst, abs(products[i] - products[j]) / (tolerances[i] + tolerances[j]))
      }
    }
    return worst
  }

  /// Evaluates the identity on integer data.
  ///
  /// - Throws: `ConvError.unsupported` where the engine declines a pass, and what its plans throw.
  public init(
    _ backend: any ConvolutionBackend, _ problem: ConvProblem, elementType: ElementType = .float32,
    _ options: PlanOptions = PlanOptions(), seed: UInt64, pool: WorkerPool = .shared
  ) throws {
    var data = try ProblemData(
      problem: problem, elementType: elementType, distribution: .smallIntegers, seed: seed, pool: pool)
    let verifier = Verifier(pool: pool)
    var products: [Double] = []
    var tolerances: [Double] = []
    for pass in ConvPass.allCases {
      let plan = try backend.plan(for: ConvOperation(pass, problem, elementType: elementType), options)
      let result = try verifier.execute(plan, data)
      if pass == .forward { data.outputGradient = result }
      let other =
        switch pass {
        case .forward: data.outputGradient
        case .backwardData: data.input
        case .backwardFilter: data.filter
        }
      products.append(AdjointIdentity.dot(result, other))
      let grid = SampleGrid.stratified(problem, pass, atLeast: 256, seed: seed)
      let expectation = Expectation(grid: grid, data: data, pool: pool)
      guard let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
      else {
        throw ConvError.unsupported(
          backend: backend.name, operation: "\(plan.operation)",
          reason: "its error model \(plan.errorModel) does not describe the problem")
      }
      let norm = AdjointIdentity.dot(other, other).squareRoot()
      // Twice the sampled estimate: the samples are stratified, not exhaustive.
      tolerances.append(2 * bounds.rms * Double(result.count).squareRoot() * norm)
    }
    forward = products[0]
    backwardData = products[1]
    backwardFilter = products[2]
    self.tolerances = tolerances
  }

  static func dot(_ a: Tensor, _ b: Tensor) -> Double {
    func sum<T: ConvScalar>(_: T.Type) -> Double {
      let count = a.count
      return a.withUnsafePointer(as: T.self) { a in
        b.withUnsafePointer(as: T.self) { b in
          var sum = 0.0
          for i in 0..<count { sum += Double(a[i]) * Double(b[i]) }
          return sum
        }
      }
    }
    return a.elementType == .float64 ? sum(Double.self) : sum(Float.self)
  }
}

extension AdjointIdentity: CustomStringConvertible {
  /// The three products and their tolerances.
  public var description: String {
    "⟨conv(x,w),y⟩ = \(forward) ± \(tolerances[0]), ⟨x,dx⟩ = \(backwardData) ± \(tolerances[1]), "
      + "⟨w,dw⟩ = \(backwardFilter) ± \(tolerances[2])"
  }
}
