import ConvAutograd
import ConvCore

/// The L2 norm of all gradients together, in float64. Parameters without a gradient count as 0, one that is there twice once.
public func gradientNorm(_ parameters: [Variable]) -> Double {
  distinct(parameters).reduce(0) { sum, parameter in
    guard let gradient = parameter.grad else { return sum }
    return sum
      + (gradient.elementType == .float64
        ? squaredNorm(gradient, Double.self) : squaredNorm(gradient, Float.self))
  }.squareRoot()
}

/// Scales all gradients down so that their common norm is at most `maxNorm`, as PyTorch's `clip_grad_norm_`.
///
/// - Returns: the norm before.
/// - Throws: `ConvError.operand` for a negative `maxNorm`, `.shapeMismatch`, `.elementTypeMismatch`.
@discardableResult
public func clipGradNorm(_ parameters: [Variable], maxNorm: Double) throws -> Double {
  try require("maxNorm", maxNorm, 0...Double.infinity)
  _ = try checkedGradients(parameters)
  let norm = gradientNorm(parameters)
  let factor = min(1, maxNorm / (norm + 1e-6))
  guard factor < 1 || factor.isNaN else { return norm }
  for parameter in distinct(parameters) {
    guard var gradient = parameter.grad else { continue }
    parameter.grad = nil  // so that the scaling is in place
    if gradient.elementType == .float64 {
      scale(&gradient, factor)
    } else {
      scale(&gradient, Float(factor))
    }
    parameter.grad = gradient
  }
  return norm
}

private func distinct(_ parameters: [Variable]) -> [Variable] {
  var seen: Set<ObjectIdentifier> = []
  return parameters.filter { seen.insert(ObjectIdentifier($0)).inserted }
}

private func squaredNorm<T: ConvScalar>(_ tensor: Tensor, _: T.Type) -> Double {
  let count = tensor.count
  let block = 1 << 14
  var partials = [Double](repeating: 0, count: (count + block - 1) / block)
  tensor.withUnsafePointer(as: T.self) { values in
    partials.withUnsafeMutableBufferPointer { partials in
      ConvolutionContext.current.pool.parallelFor(partials.count) { chunk in
        var sum = 0.0
        for i in chunk * block..<min(count, (chunk + 1) * block) {
          sum += Double(values[i]) * Double(values[i])
        }
        partials[chunk] = sum
      }
    }
  }
  return partials.reduce(0, +)
}

private func scale<T: ConvScalar>(_ tensor: inout Tensor, _ factor: T) {
  let count = tensor.count
  tensor.withUnsafeMutablePointer(as: T.self) { values in
    forEachChunk(count) { range in
      for i in range { values[i] *= factor }
    }
  }
}
