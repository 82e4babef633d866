import ConvCore

/// The entry of a gradient check that deviates most, in units of its tolerance.
public struct GradcheckResult: Sendable, CustomStringConvertible {
  /// Which input, and which of its elements in logical order.
  public let input: Int, element: Int
  /// What `backward()` computed, and what central differences say.
  public let analytic: Double, numeric: Double
  /// |analytic − numeric| / (atol + rtol·|numeric|); above 1 the check fails.
  public let ratio: Double

  /// One line with both numbers.
  public var description: String {
    "input \(input), element \(element): backward \(analytic), central differences \(numeric), "
      + "\(ratio) times the tolerance"
  }
}

/// A gradient that central differences contradict.
public struct GradcheckFailure: Error, CustomStringConvertible {
  /// The worst entry.
  public let worst: GradcheckResult
  /// What to look at.
  public var description: String { "gradient check failed at \(worst)" }
}

/// Compares the gradients of `function` with central differences, for every element of every input, in float64.
///
/// The function's output y of any shape is joined to L = Σ vᵢ·yᵢ with fixed random v in ±[½, 1), so that an error in
/// any entry of the Jacobian shows. `function` must be a pure function of its inputs.
/// - Parameters:
///   - inputs: float64; all are differentiated.
///   - eps: half of the difference quotient's width.
/// - Returns: the worst entry.
/// - Throws: `GradcheckFailure` where |analytic − numeric| > atol + rtol·|numeric| (or is not a number);
///   `ConvError.elementTypeMismatch` for inputs that are not float64.
@discardableResult
public func gradcheck(
  _ function: ([Variable]) throws -> Variable, _ inputs: [Tensor], eps: Double = 1e-6, atol: Double = 1e-5,
  rtol: Double = 1e-3, seed: UInt64 = 0
) throws -> GradcheckResult {
  for (index, input) in inputs.enumerated() { try requireType("input \(index)", input, .float64) }
  let variables = inputs.map { Variable($0, requiresGrad: true) }
  let output = try function(variables)
  let random = Philox(seed: seed, stream: 0)
  let weights = (0..<output.value.count).map { index in
    let u = random.uniform(at: UInt64(index))
    return u < 0.5 ? -(u + 0.5) : u
  }
  try output.backward(gradient: Tensor(weights, shape: output.shape))

  func loss(_ inputs: [Tensor]) throws -> Double {
    let values = try noGrad { try function(inputs.map { Variable($0) }) }.value.values(as: Double.self)
    return zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 }
  }
  var worst = GradcheckResult(input: 0, element: 0, analytic: 0, numeric: 0, ratio: -1)
  for (index, input) in inputs.enumerated() {
    let original = input.values(as: Double.self)
    let analytic =
      variables[index].grad?.values(as: Double.self) ?? [Double](repeating: 0, count: original.count)
    for element in original.indices {
      func shifted(by shift: Double) throws -> Double {
        var values = original
        values[element] += shift
        var all = inputs
        all[index] = try Tensor(values, shape: input.shape, format: input.format)
        return try loss(all)
      }
      let numeric = try (shifted(by: eps) - shifted(by: -eps)) / (2 * eps)
      let deviation = abs(analytic[element] - numeric) / (atol + rtol * abs(numeric))
      let ratio = deviation.isNaN ? .infinity : deviation
      if ratio > worst.ratio {
        worst = GradcheckResult(
          input: index, element: element, analytic: analytic[element], numeric: numeric, ratio: ratio)
      }
    }
  }
  if worst.ratio > 1 { throw GradcheckFailure(worst: worst) }
  return worst
}
