import Foundation

/// Losses, as the library computes them: in float64, results rounded once.
extension RoundingTape {
  /// `output` and `grad_input` of logits [rows, classes].
  public func crossEntropy(_ x: [Double], _ labels: [Int], isMean: Bool) -> [String: [Traced]] {
    let classes = x.count / labels.count
    var (logs, picked): ([Traced], [Traced]) = ([], [])
    for (row, label) in labels.enumerated() {
      let logits = Array(x[row * classes..<(row + 1) * classes])
      // Any number near the largest gives the same result: it is no decision.
      let largest = exact(logits.max() ?? 0)
      let own = inDouble { () -> [Traced] in
        let shift = largest + sum(logits.map { (exact($0) - largest).exponential() }).logarithm()
        return logits.map { exact($0) - shift }
      }.map(stored)
      logs += own
      picked.append(own[label])
    }
    let scale = inDouble { isMean ? exact(1) / exact(Double(labels.count)) : exact(1) }
    let loss = inDouble { -(sum(picked) * scale) }
    let gradients = logs.indices.map { i in
      inDouble {
        scale * (logs[i].exponential() - exact(i % classes == labels[i / classes] ? 1 : 0))
      }
    }
    return ["output": [stored(loss)], "grad_input": gradients.map(stored)]
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
