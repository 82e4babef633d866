import ConvCore

/// Both sides of a metamorphic law, computed by one engine with their bounds.
struct LawSides {
  let backend: any ConvolutionBackend
  let options: PlanOptions
  let operation: ConvOperation
  let seed: UInt64
  let pool: WorkerPool

  /// A result with how far each element may be from the exact one.
  struct Bounded {
    var values: Block
    var bounds: Block
    /// Which sides the float64 oracle contradicts, for people.
    var doubts: [String] = []

    /// Both blocks changed alike.
    func gathered(_ change: (Block) -> Block) -> Bounded {
      Bounded(values: change(values), bounds: change(bounds), doubts: doubts)
    }

    /// α·self + β·other; bounds with the factors' magnitudes.
    func combined(_ alpha: Double, _ other: Bounded, _ beta: Double) -> Bounded {
      Bounded(
        values: values.combined(other.values) { alpha * $0 + beta * $1 },
        bounds: bounds.combined(other.bounds) { abs(alpha) * $0 + abs(beta) * $1 },
        doubts: doubts + other.doubts)
    }
  }

  /// Operands in logical order.
  struct Operands {
    var x, w, dy: Block
  }

  private var problem: ConvProblem { operation.problem }
  private var pass: ConvPass { operation.pass }

  /// The largest quotient of a difference and its tolerance, and a description where it is above 1.
  ///
  /// - Throws: `ConvError.unsupported` where the engine declines a side, and what its plans throw.
  func compare(_ law: Law) throws -> (ratio: Double, difference: String?) {
    let operands = try self.operands(seed)
    switch law {
    case .linearity: return try linearity(operands)
    case .shift: return try shift(operands)
    case .groups: return try groups(operands)
    case .dilation: return try dilation(operands)
    case .stride: return try stride(operands)
    case .adjoint, .impulses, .integers, .nonFinite, .huge:
      preconditionFailure("\(law) has no two sides")
    }
  }

  // MARK: The laws

  private func linearity(_ a: Operands) throws -> (ratio: Double, difference: String?) {
    let b = try operands(seed &+ 0x9E37_79B9)
    // The combination of such operands has 14 bits (float64: 43) and is exact.
    func mix(_ p: Block, _ q: Block) -> Block { p.combined(q) { 2 * $0 - 3 * $1 } }
    var worst: (ratio: Double, difference: String?) = (0, nil)
    for second in [false, true] {
      var (mixed, other) = (a, a)
      switch (pass, second) {
      case (.forward, false), (.backwardFilter, false): (mixed.x, other.x) = (mix(a.x, b.x), b.x)
      case (.forward, true), (.backwardData, true): (mixed.w, other.w) = (mix(a.w, b.w), b.w)
      case (.backwardData, false), (.backwardFilter, true): (mixed.dy, other.dy) = (mix(a.dy, b.dy), b.dy)
      }
      let left = try run(problem, mixed, "the combination")
      let right = try run(problem, a, "the first term").combined(
        2, run(problem, other, "the second term"), -3)
      let found = difference(left, right)
      if found.ratio > worst.ratio || found.difference != nil { worst = found }
    }
    return worst
  }

  private func shift(_ operands: Operands) throws -> (ratio: Double, difference: String?) {
    var random = PhiloxGenerator(seed: seed, stream: 0x54F)
    var (steps, input) = (Extent(d: 0, h: 0, w: 0), problem.input)
    for axis in problem.axesInUse {
      steps[axis] = Int.random(in: 1...3, using: &random)
      input[axis] += steps[axis] * problem.stride[axis]
    }
    let moved = try changed(input: input)
    func back(_ at: Extent, _ unit: Extent) -> Extent? {
      var from = at
      for axis in 0..<3 { from[axis] -= steps[axis] * unit[axis] }
      return from.d < 0 || from.h < 0 || from.w < 0 ? nil : from
    }
    func forth(_ at: Extent, _ unit: Extent) -> Extent {
      var to = at
      for axis in 0..<3 { to[axis] += steps[axis] * unit[axis] }
      return to
    }
    let ones = Extent(w: 1)
    var spread = operands
    spread.x = operands.x.gathered(moved.input) { back($0, problem.stride) }
    spread.dy = operands.dy.gathered(moved.output) { back($0, ones) }
    let right = try run(moved, spread, "the moved image")
    let unit = pass == .forward ? ones : pass == .backwardData ? problem.stride : Extent(d: 0, h: 0, w: 0)
    let extent = SampleGrid.extent(problem, pass)
    return difference(
      try run(problem, operands, "the image"),
      right.gathered { $0.gathered(extent) { forth($0, unit) } })
  }

  private func groups(_ operands: Operands) throws -> (ratio: Double, difference: String?) {
    let (c, k) = (problem.cPerGroup, problem.kPerGroup)
    let single = try ConvProblem(
      spatialRank: problem.spatialRank, n: problem.n, c: c, k: k, input: problem.input,
      filter: problem.filter, stride: problem.stride, padding: problem.padding, dilation: problem.dilation)
    let left = try run(problem, operands, "the grouped convolution")
    var worst: (ratio: Double, difference: String?) = (0, nil)
    for g in 0..<problem.groups {
      let (cs, ks) = (g * c..<(g + 1) * c, g * k..<(g + 1) * k)
      let own = Operands(
        x: operands.x.sliced(second: cs), w: operands.w.sliced(first: ks), dy: operands.dy.sliced(second: ks))
      let part =
        switch pass {
        case .forward: left.gathered { $0.sliced(second: ks) }
        case .backwardData: left.gathered { $0.sliced(second: cs) }
        case .backwardFilter: left.gathered { $0.sliced(first: ks) }
        }
      let found = difference(part, try run(single, own, "group \(g) by itself"))
      if found.ratio > worst.ratio || found.difference != nil { worst = found }
    }
    return worst
  }

  private func dilation(_ operands: Operands) throws -> (ratio: Double, difference: String?) {
    var taps = problem.filter
    for axis in 0..<3 { taps[axis] = (taps[axis] - 1) * problem.dilation[axis] + 1 }
    let dense = try changed(filter: taps, dilation: Extent(w: 1))
    var stuffed = operands
    stuffed.w = operands.w.gathered(taps) { LawSides.divided($0, by: problem.dilation) }
    var right = try run(dense, stuffed, "the zero-stuffed filter")
    if pass == .backwardFilter {
      right = right.gathered { $0.gathered(problem.filter) { LawSides.times($0, problem.dilation) } }
    }
    return difference(try run(problem, operands, "the dilated filter"), right)
  }

  private func stride(_ operands: Operands) throws -> (ratio: Double, difference: String?) {
    let dense = try changed(stride: Extent(w: 1))
    var stuffed = operands
    stuffed.dy = operands.dy.gathered(dense.output) {
      guard let from = LawSides.divided($0, by: problem.stride) else { return nil }
      // Behind the last output there may be room for dense ones.
      return from.d < problem.output.d && from.h < problem.output.h && from.w < problem.output.w ? from : nil
    }
    var right = try run(dense, stuffed, "the dense convolution")
    if pass == .forward {
      right = right.gathered { $0.gathered(problem.output) { LawSides.times($0, problem.stride) } }
    }
    return difference(try run(problem, operands, "the strided convolution"), right)
  }

  // MARK: Parts

  private static func times(_ at: Extent, _ factor: Extent) -> Extent {
    Extent(d: at.d * factor.d, h: at.h * factor.h, w: at.w * factor.w)
  }

  /// nil where a coordinate is no multiple.
  private static func divided(_ at: Extent, by step: Extent) -> Extent? {
    guard at.d % step.d == 0, at.h % step.h == 0, at.w % step.w == 0 else { return nil }
    return Extent(d: at.d / step.d, h: at.h / step.h, w: at.w / step.w)
  }

  /// Multiples of 2⁻¹¹ on [−1, 1]; in float64 of 2⁻⁴⁰, so that its sums round too. Combinations with small integers are exact.
  private func operands(_ seed: UInt64) throws -> Operands {
    func data(_ seed: UInt64) throws -> ProblemData {
      try ProblemData(problem: problem, elementType: .float64, seed: seed, pool: pool)
    }
    func rounded(_ tensor: Tensor, _ extent: Extent, _ bits: Int) throws -> Block {
      let unit = Double(sign: .plus, exponent: bits, significand: 1)
      return try Block(tensor, extent).map { ($0 * unit).rounded() / unit }
    }
    let high = try data(seed)
    guard operation.elementType == .float64 else {
      return Operands(
        x: try rounded(high.input, problem.input, 11), w: try rounded(high.filter, problem.filter, 11),
        dy: try rounded(high.outputGradient, problem.output, 11))
    }
    let low = try data(~seed)
    func joined(_ a: Tensor, _ b: Tensor, _ extent: Extent) throws -> Block {
      try rounded(a, extent, 20).combined(rounded(b, extent, 20)) { $0 + $1 * 0x1p-20 }
    }
    return Operands(
      x: try joined(high.input, low.input, problem.input),
      w: try joined(high.filter, low.filter, problem.filter),
      dy: try joined(high.outputGradient, low.outputGradient, problem.output))
  }

  private func changed(
    input: Extent? = nil, filter: Extent? = nil, stride: Extent? = nil, dilation: Extent? = nil
  ) throws -> ConvProblem {
    try ConvProblem(
      spatialRank: problem.spatialRank, n: problem.n, c: problem.c, k: problem.k, groups: problem.groups,
      input: input ?? problem.input, filter: filter ?? problem.filter, stride: stride ?? problem.stride,
      padding: problem.padding, dilation: dilation ?? problem.dilation)
  }

  /// One execution, with the bounds of all its results.
  private func run(_ problem: ConvProblem, _ operands: Operands, _ what: String) throws -> Bounded {
    let type = operation.elementType
    let data = try ProblemData(
      problem: problem, input: operands.x.tensor(problem.inputShape, type),
      filter: operands.w.tensor(problem.filterShape, type),
      outputGradient: operands.dy.tensor(problem.outputShape, type))
    let operation = ConvOperation(pass, problem, elementType: type)
    if let reason = backend.support(for: operation, options).reason {
      throw ConvError.unsupported(backend: backend.name, operation: "\(operation)", reason: reason)
    }
    let plan = try backend.plan(for: operation, options)
    let result = try Verifier(pool: pool).execute(plan, data)
    let grid = SampleGrid.all(problem, pass)
    let expectation = Expectation(grid: grid, data: data, pool: pool)
    guard let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
    else {
      throw ConvError.unsupported(
        backend: backend.name, operation: "\(operation)",
        reason: "its error model \(plan.errorModel) does not describe the problem")
    }
    let values = try Block(result, SampleGrid.extent(problem, pass))
    var logical = [Double](repeating: 0, count: values.values.count)
    var far = 0.0
    for (i, row) in grid.rows.enumerated() {
      for (j, column) in grid.columns.enumerated() {
        let (index, sample) = (grid.index(row, column), i * grid.columns.count + j)
        logical[index] = bounds.bounds[sample]
        let ratio = LawSides.ratio(values.values[index] - expectation.values[sample], bounds.bounds[sample])
        far = max(far, ratio)
      }
    }
    let bounded = Block(
      first: values.first, second: values.second, extent: values.extent, values: logical)
    return Bounded(
      values: values, bounds: bounded,
      doubts: far > 1
        ? ["\(what) (\(problem)) is \(RunReport.quotient(far)) × its bound from float64 sums"] : []
    )
  }

  private static func ratio(_ difference: Double, _ tolerance: Double) -> Double {
    if difference.isNaN { return .infinity }
    return difference == 0 ? 0 : abs(difference) / tolerance
  }

  private func difference(_ left: Bounded, _ right: Bounded) -> (ratio: Double, difference: String?) {
    var (worst, at) = (0.0, 0)
    for i in left.values.values.indices {
      let ratio = LawSides.ratio(
        left.values.values[i] - right.values.values[i], left.bounds.values[i] + right.bounds.values[i])
      if ratio > worst { (worst, at) = (ratio, i) }
    }
    guard worst > 1 else { return (worst, nil) }
    let tolerance = left.bounds.values[at] + right.bounds.values[at]
    let doubts = (left.doubts + right.doubts).joined(separator: "; ")
    return (
      worst,
      "result \(at) of \(left.values.values.count) is \(left.values.values[at]) on one side and "
        + "\(right.values.values[at]) on the other, \(tolerance) apart at most"
        + (doubts.isEmpty ? "" : "; \(doubts)")
    )
  }
}
