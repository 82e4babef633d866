import ConvCore

/// The variance proxies of all samples of an expectation, in units of u²: what `ErrorBounds` takes the root of.
struct Proxies {
  /// V of each sample.
  var squares: [Double]
  /// Roundings that reach one result.
  var roundings: Double
  /// The sum that products are added up in.
  var sums: SumRoundings
  /// Whether the algorithm adds products as they are.
  var isPlainSum: Bool

  /// Nil where the model does not describe the problem.
  init?(_ model: ErrorModel, expectation: Expectation, data: ProblemData, pool: WorkerPool) {
    guard let parts = Proxies.evaluate(model, expectation.grid, data, known: expectation, pool) else {
      return nil
    }
    (squares, roundings, sums) = (parts.squares, parts.roundings, parts.sums)
    if case .summation = model { isPlainSum = true } else { isPlainSum = false }
  }

  /// Proxies with the values that they belong to.
  private struct Parts {
    var values, squares: [Double]
    var roundings: Double
    var sums: SumRoundings
  }

  /// - Parameter known: the grid's expectation where there is one already.
  private static func evaluate(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, known: Expectation?, _ pool: WorkerPool
  ) -> Parts? {
    let terms = data.problem.summationDepth(grid.pass)
    func expectation() -> Expectation { known ?? Expectation(grid: grid, data: data, pool: pool) }
    switch model {
    case .summation(let shape, _):
      let (expectation, sums) = (expectation(), SumRoundings(shape, terms: terms))
      let least = Double(terms) * ErrorBounds.leastRounding(data.elementType)
      let squares = grid.indices.map {
        sums.squares(
          total: expectation.values[$0], terms: expectation.squares[$0], path: expectation.paths[$0]) + least
      }
      return Parts(
        values: expectation.values, squares: squares, roundings: Double(2 * terms), sums: sums)
    case .winograd where data.problem.stride.h > 1 || data.problem.stride.w > 1:
      // Dense stride 1 only after the dilation's residues have become images of their own.
      return lowered(model, grid, data, pool)
    case .winograd(let vertical, let horizontal, let depth):
      guard
        let bounds = WinogradBounds(
          vertical: vertical, horizontal: horizontal, depth: depth, pass: grid.pass, data: data),
        let result = bounds.evaluate(grid, pool: pool)
      else { return nil }
      return Parts(
        values: result.values, squares: result.squares, roundings: bounds.roundings,
        sums: bounds.sums)
    case .fft(let height, let width, let stepH, let stepW, let depth):
      let bounds = FourierBounds(
        height: height, width: width, stepH: stepH, stepW: stepW, depth: depth, data: data)
      let expectation = expectation()
      return Parts(
        values: expectation.values, squares: bounds.squares(expectation, pool: pool),
        roundings: bounds.roundings, sums: bounds.sums)
    case .polyphase:
      return lowered(model, grid, data, pool)
    }
  }

  /// Those of a strided problem's parts: first the dilation's residues become a larger batch, then the stride's phases add up.
  private static func lowered(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData, _ pool: WorkerPool
  ) -> Parts? {
    let zeros = [Double](repeating: 0, count: grid.count)
    var sums = Parts(values: zeros, squares: zeros, roundings: 0, sums: SumRoundings(.chain, terms: 0))
    // Where several parts reach a result, it is rounded after each.
    func add(_ part: SubProblem, _ model: ErrorModel, isAdded: Bool) -> Bool {
      if part.rows.isEmpty { return true }
      let inner = SampleGrid(
        pass: grid.pass, problem: part.data.problem, rows: part.rows, columns: grid.columns)
      guard let found = evaluate(model, inner, part.data, known: nil, pool) else { return false }
      sums.roundings += found.roundings + (isAdded ? 1 : 0)
      if found.sums.longest > sums.sums.longest { sums.sums = found.sums }
      for (i, whole) in part.wholeRows.enumerated() {
        for j in grid.columns.indices {
          let (to, from) = (whole * grid.columns.count + j, i * grid.columns.count + j)
          sums.values[to] += found.values[from]
          sums.squares[to] += found.squares[from] + (isAdded ? sums.values[to] * sums.values[to] : 0)
        }
      }
      return true
    }
    guard let parts = parts(model, grid, data) else { return nil }
    for (part, model) in parts.all {
      guard add(part, model, isAdded: parts.areAdded) else { return nil }
    }
    return sums
  }

  /// The parts that the core's lowerings cut a strided problem into, each with its model: the dilation's residues as one larger batch,
  /// else the stride's phases, whose results are added up in the forward pass. Nil where the model has others.
  static func parts(
    _ model: ErrorModel, _ grid: SampleGrid, _ data: ProblemData
  ) -> (all: [(SubProblem, ErrorModel)], areAdded: Bool)? {
    let cut = SubProblems(data: data, grid: grid)
    let pr = grid.problem
    if pr.dilation.h > 1 || pr.dilation.w > 1 {
      guard let dense = try? cut.densified() else { return nil }
      return ([(dense, model)], false)
    }
    guard case .polyphase(let models) = model, let phases = try? cut.phases(), phases.count == models.count
    else { return nil }
    return (Array(zip(phases, models)), grid.pass == .forward)
  }
}
