import ConvCore

/// A bilinear operation as the list of its products: y[output] += x[input] · w[weight]. Convolutions and linear layers are such,
/// and so are all their passes.
public struct Products {
  private let places: [(output: Int, input: Int, weight: Int)]
  private let outputs, inputs, weights: Int

  /// y[n, o] = Σ x[n, i] · w[o, i].
  public init(rows: Int, inputs: Int, outputs: Int) {
    places = (0..<rows * outputs).flatMap { place in
      (0..<inputs).map { (place, place / outputs * inputs + $0, place % outputs * inputs + $0) }
    }
    (self.outputs, self.inputs, weights) = (rows * outputs, rows * inputs, inputs * outputs)
  }

  /// A 2-D convolution.
  public init(_ problem: ConvProblem) {
    let (input, filter, output) = (problem.input, problem.filter, problem.output)
    var places: [(output: Int, input: Int, weight: Int)] = []
    for place in 0..<problem.n * problem.k * output.count {
      let (n, k) = (place / output.count / problem.k, place / output.count % problem.k)
      let (p, q) = (place % output.count / output.w, place % output.w)
      for c in 0..<problem.cPerGroup {
        let channel = k / problem.kPerGroup * problem.cPerGroup + c
        for r in 0..<filter.h {
          let h = p * problem.stride.h - problem.padding.top + r * problem.dilation.h
          guard h >= 0, h < input.h else { continue }
          for s in 0..<filter.w {
            let w = q * problem.stride.w - problem.padding.left + s * problem.dilation.w
            guard w >= 0, w < input.w else { continue }
            places.append(
              (
                place, ((n * problem.c + channel) * input.h + h) * input.w + w,
                ((k * problem.cPerGroup + c) * filter.h + r) * filter.w + s
              ))
          }
        }
      }
    }
    self.places = places
    outputs = problem.n * problem.k * output.count
    inputs = problem.n * problem.c * input.count
    weights = problem.k * problem.cPerGroup * filter.count
  }

  private func grouped(
    _ count: Int, _ key: ((output: Int, input: Int, weight: Int)) -> Int,
    _ product: ((output: Int, input: Int, weight: Int)) -> (Traced, Traced)
  ) -> [[(Traced, Traced)]] {
    var groups = [[(Traced, Traced)]](repeating: [], count: count)
    for place in places { groups[key(place)].append(product(place)) }
    return groups
  }

  /// The products of each y.
  public func forward(_ x: [Traced], _ w: [Traced]) -> [[(Traced, Traced)]] {
    grouped(outputs, \.output) { (x[$0.input], w[$0.weight]) }
  }

  /// The products of each dx.
  public func backwardData(_ dy: [Traced], _ w: [Traced]) -> [[(Traced, Traced)]] {
    grouped(inputs, \.input) { (dy[$0.output], w[$0.weight]) }
  }

  /// The products of each dw.
  public func backwardFilter(_ x: [Traced], _ dy: [Traced]) -> [[(Traced, Traced)]] {
    grouped(weights, \.weight) { (x[$0.input], dy[$0.output]) }
  }
}

extension RoundingTape {
  /// Sums as engines make them: in the working type, in any order.
  public func sums(_ products: [[(Traced, Traced)]]) -> [Traced] { products.map { sum(products: $0) } }

  /// Sums as `naive` makes them: in float64, rounded once.
  public func naiveSums(_ products: [[(Traced, Traced)]]) -> [Traced] {
    products.map { terms in stored(inDouble { sum(products: terms) }) }
  }

  /// The gradient of a bias: dy [N, C, area] → [C].
  public func channelSums(_ dy: [Traced], channels: Int, area: Int) -> [Traced] {
    (0..<channels).map { channel in
      sum(dy.indices.filter { $0 / area % channels == channel }.map { dy[$0] })
    }
  }

  /// y[n, c, ·] + bias[c].
  public func addBias(_ y: [Traced], _ bias: [Traced]?, area: Int) -> [Traced] {
    guard let bias else { return y }
    return y.indices.map { y[$0] + bias[$0 / area % bias.count] }
  }
}

/// Windows of a 2-D pooling over [planes][height][width].
public struct Windows {
  /// The input elements of each output's window, in row-major order.
  public let members: [[Int]]
  private let inputs, size: Int
  public let height, width: Int

  /// - Parameters: as of the layer; `shape` is [N, C, H, W].
  public init(_ shape: [Int], kernel: [Int], stride: [Int], padding: [Int]) {
    let (h, w) = (shape[2], shape[3])
    height = (h + 2 * padding[0] - kernel[0]) / stride[0] + 1
    width = (w + 2 * padding[1] - kernel[1]) / stride[1] + 1
    (inputs, size) = (shape.reduce(1, *), kernel[0] * kernel[1])
    var members: [[Int]] = []
    for plane in 0..<shape[0] * shape[1] {
      for p in 0..<height {
        for q in 0..<width {
          let (top, left) = (p * stride[0] - padding[0], q * stride[1] - padding[1])
          let rows = max(0, top)..<min(h, top + kernel[0])
          let columns = max(0, left)..<min(w, left + kernel[1])
          members.append(rows.flatMap { row in columns.map { (plane * h + row) * w + $0 } })
        }
      }
    }
    self.members = members
  }

  /// Mean of each window.
  public func means(_ x: [Traced], countIncludePad: Bool) -> [Traced] {
    members.map { window in
      let tape = x[0].tape
      return tape.sum(window.map { x[$0] }) / tape.exact(Double(countIncludePad ? size : window.count))
    }
  }

  /// The gradient of `means`: each part is rounded, then their sum.
  public func spreadMeans(_ dy: [Traced], countIncludePad: Bool) -> [Traced] {
    var parts = [[Traced]](repeating: [], count: inputs)
    for (g, window) in zip(dy, members) {
      let part = g / g.tape.exact(Double(countIncludePad ? size : window.count))
      for place in window { parts[place].append(part) }
    }
    return parts.map { dy[0].tape.sum($0) }
  }

  /// The place of each maximum, the first of equal ones. That it leads is a decision.
  public func winners(_ x: [Traced]) -> [Int] {
    members.map { window in
      let winner = window.reduce(window[0]) { x[$1].value > x[$0].value ? $1 : $0 }
      for rival in window where rival != winner { x[winner].tape.decide(x[winner] - x[rival]) }
      return winner
    }
  }

  /// Each output's gradient to its winner.
  public func spread(_ dy: [Traced], to winners: [Int]) -> [Traced] {
    var parts = [[Traced]](repeating: [], count: inputs)
    for (g, winner) in zip(dy, winners) { parts[winner].append(g) }
    return parts.map { dy[0].tape.sum($0) }
  }
}
