import ConvCore

/// Which results an element that is no number makes non-finite.
///
/// Must: every result that has a term with it. May: what `ConvPlan` allows beside these,
///
/// - for Winograd's matrices the results of a tile (of dx, of dw) whose window the element is in, by the error model's tiles;
/// - for Fourier transforms the results of the same plane: image, depth and channels that have a term with the element's plane;
/// - where an element of the filter, or for backwardFilter of dy, meets a zero of the padding, which an engine may multiply by or leave
///   out.
///
/// All others keep the bits that they have without it.
public struct NonFiniteReach: Sendable {
  /// Of all results, in logical order.
  public let must, may: [Bool]

  /// - Parameters:
  ///   - isSecond: whether the element is one of the second operand of the pass (w, w, dy), else of the first (x, dy, x).
  ///   - index: in the operand's logical order.
  /// - Returns: nil where the model does not describe the problem.
  public init?(
    _ model: ErrorModel, _ problem: ConvProblem, _ pass: ConvPass, isSecond: Bool, index: Int,
    pool: WorkerPool = .shared
  ) {
    let grid = SampleGrid.all(problem, pass)
    guard
      let data = try? NonFiniteReach.impulse(problem, pass, isSecond: isSecond, index: index)
    else { return nil }
    let terms = Expectation(grid: grid, data: data, pool: pool).values
    var spread = [Double]()
    if !isSecond {
      guard let found = NonFiniteReach.spread(model, grid, data, pool) else { return nil }
      spread = found
    }
    var (must, may) = (
      [Bool](repeating: false, count: grid.count), [Bool](repeating: false, count: grid.count)
    )
    for (i, row) in grid.rows.enumerated() {
      for (j, column) in grid.columns.enumerated() {
        let (sample, result) = (i * grid.columns.count + j, grid.index(row, column))
        must[result] = terms[sample] > 0
        may[result] =
          must[result]
          || (isSecond
            ? NonFiniteReach.meetsPadding(model, problem, pass, index, row, column) : spread[sample] > 0)
      }
    }
    (self.must, self.may) = (must, may)
  }

  /// 1 at the element, 0 elsewhere in its operand; ones in the other.
  private static func impulse(
    _ problem: ConvProblem, _ pass: ConvPass, isSecond: Bool, index: Int
  ) throws -> ProblemData {
    func tensor(_ shape: [Int], _ isElement: Bool) throws -> Tensor {
      if !isElement { return try .full(shape, Float(1)) }
      var tensor = try Tensor.zeros(shape)
      tensor.withUnsafeMutablePointer(as: Float.self) { $0[index] = 1 }
      return tensor
    }
    return try ProblemData(
      problem: problem, input: tensor(problem.inputShape, !isSecond && pass != .backwardData),
      filter: tensor(problem.filterShape, isSecond && pass != .backwardFilter),
      outputGradient: tensor(
        problem.outputShape, pass == .backwardData ? !isSecond : isSecond && pass == .backwardFilter))
  }

  /// Above 0 for results of tiles that the impulse is in: by transforms without zeros.
  private static func spread(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, _ pool: WorkerPool
  ) -> [Double]? {
    switch model {
    case .summation: return Expectation(grid: grid, data: data, pool: pool).values
    case .winograd(let vertical, let horizontal, let depth)
    where data.problem.stride.h == 1 && data.problem.stride.w == 1:
      return WinogradBounds(
        vertical: vertical.ofOnes, horizontal: horizontal.ofOnes, depth: depth, pass: grid.pass, data: data)?
        .evaluate(grid, pool: pool)?.values
    case .fft: return wholePlanes(grid, data, pool)
    case .winograd, .polyphase:
      guard let parts = Proxies.parts(model, grid, data) else { return nil }
      var sums = [Double](repeating: 0, count: grid.count)
      let columns = grid.columns.count
      for (part, model) in parts.all where !part.rows.isEmpty {
        let inner = SampleGrid(
          pass: grid.pass, problem: part.data.problem, rows: part.rows, columns: grid.columns)
        guard let found = spread(model, inner, part.data, pool) else { return nil }
        for (i, whole) in part.wholeRows.enumerated() {
          for j in 0..<columns { sums[whole * columns + j] += found[i * columns + j] }
        }
      }
      return sums
    }
  }

  /// Above 0 for all results of a plane that has one with a term of the impulse's plane: Fourier tiles may be as large as that, and
  /// begin elsewhere in each phase of a stride.
  private static func wholePlanes(_ grid: SampleGrid, _ data: ProblemData, _ pool: WorkerPool) -> [Double] {
    func filled(_ tensor: Tensor, _ extent: Extent) -> Tensor {
      let area = extent.h * extent.w
      var tensor = tensor
      let planes = tensor.count / area
      tensor.withUnsafeMutablePointer(as: Float.self) { values in
        for plane in 0..<planes {
          let own = plane * area..<(plane + 1) * area
          if own.contains(where: { values[$0] != 0 }) { for i in own { values[i] = 1 } }
        }
      }
      return tensor
    }
    var data = data
    if grid.pass == .backwardData {
      data.outputGradient = filled(data.outputGradient, data.problem.output)
    } else {
      data.input = filled(data.input, data.problem.input)
    }
    let terms = Expectation(grid: grid, data: data, pool: pool).values
    let columns = grid.columns.count
    var largest: [SampleGrid.Row: [Double]] = [:]
    let planes = grid.rows.map { SampleGrid.Row(first: $0.first, at: Extent(d: $0.at.d, h: 0, w: 0)) }
    for (i, plane) in planes.enumerated() {
      let own = Array(terms[i * columns..<(i + 1) * columns])
      largest[plane] = zip(largest[plane] ?? own, own).map { max($0, $1) }
    }
    return planes.flatMap { largest[$0]! }
  }

  /// Whether the element of the second operand meets a zero beside the first one in the sum of a result; for engines that transform
  /// the filter, whether the result is made of the same filter.
  private static func meetsPadding(
    _ model: ErrorModel, _ problem: ConvProblem, _ pass: ConvPass, _ index: Int, _ row: SampleGrid.Row,
    _ column: Int
  ) -> Bool {
    let (taps, pixels) = (problem.filter.count, problem.output.count)
    let k = index / taps / problem.cPerGroup
    switch pass {
    case .forward: return column == k
    case .backwardFilter: return row.first == index / pixels % problem.k
    case .backwardData:
      guard column == k / problem.kPerGroup * problem.cPerGroup + index / taps % problem.cPerGroup
      else { return false }
      guard case .summation = model else { return true }
      let tap = SampleGrid.positions(problem.filter)[index % taps]
      return (0..<3).allSatisfy { axis in
        let distance = row.at[axis] + problem.padding.before[axis] - tap[axis] * problem.dilation[axis]
        return distance % problem.stride[axis] == 0
      }
    }
  }
}

extension WinogradTransform {
  /// The same sizes, with ones for all coefficients: nothing cancels, and no element of a tile is left out.
  fileprivate var ofOnes: WinogradTransform {
    func ones(_ values: [Double]) -> [Double] { [Double](repeating: 1, count: values.count) }
    return WinogradTransform(m: m, r: r, at: ones(at), g: ones(g), bt: ones(bt))
  }
}

/// One law on one operation: an element that is no number reaches what it must reach, and nothing that it may not.
struct NonFiniteCheck {
  let backend: any ConvolutionBackend
  let operation: ConvOperation
  let options: PlanOptions
  let seed: UInt64
  let pool: WorkerPool

  /// A description of the first wrong result; nil where all are right.
  ///
  /// - Throws: `ConvError.unsupported` where the engine declines; what its plan throws.
  func difference() throws -> String? {
    let (problem, pass) = (operation.problem, operation.pass)
    if let reason = backend.support(for: operation, options).reason {
      throw ConvError.unsupported(backend: backend.name, operation: "\(operation)", reason: reason)
    }
    let plan = try backend.plan(for: operation, options)
    let verifier = Verifier(pool: pool)
    let clean = try ProblemData(
      problem: problem, elementType: operation.elementType, distribution: .normal, seed: seed, pool: pool)
    let expected = try Block(verifier.execute(plan, clean), SampleGrid.extent(problem, pass)).values
    var random = PhiloxGenerator(seed: seed, stream: 0x7A7)
    let operands = clean.operands(of: pass)
    for isSecond in [false, true] {
      let count = isSecond ? operands.1.count : operands.0.count
      for index in Set([0, count - 1, Int.random(in: 0..<count, using: &random)]).sorted() {
        guard
          let reach = NonFiniteReach(
            plan.errorModel, problem, pass, isSecond: isSecond, index: index, pool: pool)
        else {
          throw ConvError.unsupported(
            backend: backend.name, operation: "\(operation)",
            reason: "its error model \(plan.errorModel) does not describe the problem")
        }
        for stray in [Double.nan, .infinity, -.infinity] {
          let data = spoilt(clean, isSecond, index, stray)
          let found = try Block(verifier.execute(plan, data), SampleGrid.extent(problem, pass)).values
          for i in found.indices {
            let isReached = stray.isNaN ? found[i].isNaN : !found[i].isFinite
            let isRight =
              reach.must[i] ? isReached : found[i] == expected[i] || reach.may[i] && !found[i].isFinite
            if isRight { continue }
            let name = NonFiniteCheck.operandNames(pass)[isSecond ? 1 : 0]
            return "element \(index) of \(name) is \(stray): result \(i) of \(found.count) "
              + (reach.must[i] ? "has a term with it" : "has none, and no tile,")
              + " and is \(found[i]), \(expected[i]) without it"
          }
        }
      }
    }
    return nil
  }

  /// What the two operands of a pass are called.
  static func operandNames(_ pass: ConvPass) -> [String] {
    switch pass {
    case .forward: ["x", "w"]
    case .backwardData: ["dy", "w"]
    case .backwardFilter: ["x", "dy"]
    }
  }

  private func spoilt(_ clean: ProblemData, _ isSecond: Bool, _ index: Int, _ value: Double) -> ProblemData {
    var data = clean
    func set(_ tensor: inout Tensor) {
      if tensor.elementType == .float64 {
        tensor.withUnsafeMutablePointer(as: Double.self) { $0[index] = value }
      } else {
        tensor.withUnsafeMutablePointer(as: Float.self) { $0[index] = Float(value) }
      }
    }
    switch (operation.pass, isSecond) {
    case (.forward, false), (.backwardFilter, false): set(&data.input)
    case (.forward, true), (.backwardData, true): set(&data.filter)
    case (.backwardData, false), (.backwardFilter, true): set(&data.outputGradient)
    }
    return data
  }
}
