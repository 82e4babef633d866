import Foundation

/// Losses, as the library computes them: in float64, results rounded once.
extension RoundingTape {
  /// What a position of logits wants: the classes' probabilities, or one class; nil where it does not count.
  public enum WantedClasses {
    case label(Int)
    case probabilities([Double])
  }

  /// `output` and `grad_input` of logits [rows][classes], in that order.
  ///
  /// - Parameters:
  ///   - upstream: of every row where losses are not joined.
  public func crossEntropy(
    _ x: [[Double]], _ wanted: [WantedClasses?], weight: [Double]?, smoothing: Double, isMean: Bool,
    upstream: [Double]?
  ) -> [String: [Traced]] {
    let classes = x.first?.count ?? 0
    let logs = x.map { logits -> [Traced] in
      // Any number near the largest gives the same result: it is no decision.
      let largest = exact(logits.max() ?? 0)
      return inDouble { () -> [Traced] in
        let shift = largest + sum(logits.map { (exact($0) - largest).exponential() }).logarithm()
        return logits.map { exact($0) - shift }
      }.map(stored)
    }
    func weighted(_ row: Int) -> [Traced] {
      let weights = (weight ?? [Double](repeating: 1, count: classes)).map { exact($0) }
      return inDouble {
        let rest = exact(smoothing) / exact(Double(classes))
        return (0..<classes).map { k in
          switch wanted[row] {
          case nil: return exact(0)
          case .label(let label) where smoothing == 0: return k == label ? weights[k] : exact(0)
          case .label(let label):
            return weights[k] * ((k == label ? exact(1) - exact(smoothing) : exact(0)) + rest)
          case .probabilities(let p): return weights[k] * ((exact(1) - exact(smoothing)) * exact(p[k]) + rest)
          }
        }
      }
    }
    let weights = x.indices.map(weighted)
    let losses = inDouble { x.indices.map { row in -sum(products: Array(zip(weights[row], logs[row]))) } }
    let scale = inDouble { () -> Traced in
      guard isMean else { return exact(1) }
      return exact(1)
        / sum(
          wanted.compactMap { $0 }.map { wanted in
            guard case .label(let label) = wanted else { return exact(1) }
            return exact(weight?[label] ?? 1)
          })
    }
    let output = upstream == nil ? [stored(inDouble { sum(losses) * scale })] : losses.map(stored)
    let gradients = x.indices.flatMap { row in
      inDouble { () -> [Traced] in
        let factor = upstream.map { exact($0[row]) } ?? scale
        let total = sum(weights[row])
        return (0..<classes).map { k in factor * (logs[row][k].exponential() * total - weights[row][k]) }
      }.map(stored)
    }
    return ["output": output, "grad_input": gradients]
  }

  /// `output`, `grad_input` and `grad_target` of the squared error.
  public func squaredError(_ x: [Double], _ target: [Double], isMean: Bool) -> [String: [Traced]] {
    inDouble {
      let scale = isMean ? exact(1) / exact(Double(x.count)) : exact(1)
      let differences = zip(x, target).map { exact($0) - exact($1) }
      let gradients = differences.map { scale * (exact(2) * $0) }
      return [
        "output": [stored(sum(products: differences.map { ($0, $0) }) * scale)],
        "grad_input": gradients.map(stored), "grad_target": gradients.map { -stored($0) },
      ]
    }
  }

  /// `output` and `grad_input` of binary cross-entropy: max(x, 0) − x·t + log(1 + e^−|x|).
  public func logisticError(_ x: [Double], _ target: [Double], isMean: Bool) -> [String: [Traced]] {
    inDouble {
      let scale = isMean ? exact(1) / exact(Double(x.count)) : exact(1)
      let losses = zip(x, target).map { x, t in
        exact(max(x, 0)) - exact(x) * exact(t) + exact(-abs(x)).exponential().logarithmOfOneMore()
      }
      let gradients = zip(x, target).map { x, t in
        scale * (exact(1) / (exact(1) + exact(-x).exponential()) - exact(t))
      }
      return ["output": [stored(sum(losses) * scale)], "grad_input": gradients.map(stored)]
    }
  }
}

/// The mathematical library promises an error below one unit in the last place, which is at most two unit roundoffs.
extension Traced {
  /// eˣ.
  public func exponential() -> Traced { map(to: exp(value), derivative: exp(value), roundings: 2) }
  /// log x.
  public func logarithm() -> Traced { map(to: log(value), derivative: 1 / value, roundings: 2) }
  /// log(1 + x).
  public func logarithmOfOneMore() -> Traced {
    map(to: log1p(value), derivative: 1 / (1 + value), roundings: 2)
  }
}
