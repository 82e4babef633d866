import ConvCore

/// What the sampled results of a pass should be: float64 values from the oracle, with the sums of magnitudes beside them.
public struct Expectation: Sendable {
  /// Which results.
  public let grid: SampleGrid
  /// The results, rows × columns.
  public let values: [Double]
  /// Σ|a·b| of the same results.
  public let magnitudes: [Double]
  /// For some filter taps (for backwardFilter: some rows of dy): what each contributes to each result. A computation that
  /// loses one of them is off by this much.
  public let contributions: [[Double]]
  /// How far each value itself may be from the truth, beyond the oracle's own rounding: stored values that had to be
  /// computed with. Empty where there is nothing of the kind.
  public var uncertainty: [Double] = []
  /// What sums over all results should be, where only some of them are looked at by themselves; nil otherwise.
  public var projected: ProjectedSums?

  /// As a verification of generated data needs it: a stratified sample of the results, and, where that is not all of them, sums that
  /// depend on every one (`Projection`).
  ///
  /// - Parameter seed: of the sample and of the signs.
  /// - Throws: `ConvError.allocationFailed`.
  public init(of pass: ConvPass, data: ProblemData, seed: UInt64, pool: WorkerPool = .shared) throws {
    let grid = SampleGrid.stratified(data.problem, pass, seed: seed)
    self.init(grid: grid, data: data, pool: pool)
    if grid.count < data.problem.resultShape(pass).reduce(1, *) {
      projected = try ProjectedSums(Projection(data.problem, pass, seed: seed), data: data, pool: pool)
    }
  }

  /// Asks the oracle for every sample.
  public init(grid: SampleGrid, data: ProblemData, pool: WorkerPool = .shared) {
    switch data.elementType {
    case .float64: self.init(grid: grid, data: data, as: Double.self, pool: pool)
    default: self.init(grid: grid, data: data, as: Float.self, pool: pool)
    }
  }

  /// Known values (stored references) in the grid's order; magnitudes and contributions come from the oracle.
  public init(replacingValuesOf other: Expectation, by values: [Double]) {
    precondition(values.count == other.values.count)
    grid = other.grid
    self.values = values
    magnitudes = other.magnitudes
    contributions = other.contributions
  }

  private init<T: ConvScalar>(grid: SampleGrid, data: ProblemData, as: T.Type, pool: WorkerPool) {
    let columns = grid.columns
    let count = grid.count
    let losses = LostTerm.candidates(data.problem, grid.pass)
    var values = [Double](repeating: 0, count: count)
    var magnitudes = values
    var lost = [Double](repeating: 0, count: count * losses.count)
    let (first, second) = data.operands(of: grid.pass)
    let oracle = ConvOracle<T>(data.problem)
    let terms = losses.map { TermOracle<T>(data.problem, $0) }
    values.withUnsafeMutableBufferPointer { values in
      magnitudes.withUnsafeMutableBufferPointer { magnitudes in
        lost.withUnsafeMutableBufferPointer { lost in
          first.withUnsafePointer(as: T.self) { a in
            second.withUnsafePointer(as: T.self) { b in
              pool.parallelFor(grid.rows.count) { i in
                let row = grid.rows[i]
                for (j, column) in columns.enumerated() {
                  let value =
                    switch grid.pass {
                    case .forward: oracle.forward(a, b, n: row.first, k: column, at: row.at)
                    case .backwardData: oracle.backwardData(a, b, n: row.first, c: column, at: row.at)
                    case .backwardFilter: oracle.backwardFilter(a, b, k: row.first, c: column, tap: row.at)
                    }
                  values[i * columns.count + j] = value.sum
                  magnitudes[i * columns.count + j] = value.magnitude
                  for (l, term) in terms.enumerated() {
                    lost[l * count + i * columns.count + j] = term.value(grid.pass, a, b, row, column)
                  }
                }
              }
            }
          }
        }
      }
    }
    self.grid = grid
    self.values = values
    self.magnitudes = magnitudes
    contributions = losses.indices.map { Array(lost[$0 * count..<($0 + 1) * count]) }
  }

  /// Root mean square of the values.
  public var rms: Double {
    values.isEmpty ? 0 : (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
  }
}

/// A part of the sum that a faulty engine might lose.
struct LostTerm: Sendable {
  /// Filter tap, or for backwardFilter an output row (depth and height only).
  let at: Extent

  /// The middle tap, a corner and the last one; for backwardFilter the first, the middle and the last output row.
  static func candidates(_ problem: ConvProblem, _ pass: ConvPass) -> [LostTerm] {
    let extent =
      pass == .backwardFilter ? Extent(d: problem.output.d, h: problem.output.h, w: 1) : problem.filter
    let places = [
      Extent(d: extent.d / 2, h: extent.h / 2, w: extent.w / 2), Extent(d: 0, h: 0, w: 0),
      Extent(d: extent.d - 1, h: extent.h - 1, w: extent.w - 1),
    ]
    var seen = Set<Extent>()
    return places.filter { seen.insert($0).inserted }.map { LostTerm(at: $0) }
  }
}

/// Evaluates one lost term: the oracle's formula restricted to it.
struct TermOracle<T: ConvScalar>: Sendable {
  private let problem: ConvProblem
  private let term: Extent

  init(_ problem: ConvProblem, _ term: LostTerm) {
    self.problem = problem
    self.term = term.at
  }

  func value(
    _ pass: ConvPass, _ a: UnsafePointer<T>, _ b: UnsafePointer<T>, _ row: SampleGrid.Row, _ column: Int
  ) -> Double {
    let pr = problem
    var sum = 0.0
    switch pass {
    case .forward:
      guard let x = inputPosition(output: row.at, tap: term) else { return 0 }
      let firstChannel = column / pr.kPerGroup * pr.cPerGroup
      for c in 0..<pr.cPerGroup {
        sum += Double(a[xIndex(row.first, firstChannel + c, x)]) * Double(b[wIndex(column, c, term)])
      }
    case .backwardData:
      var y = Extent(w: 0)
      for axis in 0..<3 {
        let shifted = row.at[axis] + pr.padding.before[axis] - term[axis] * pr.dilation[axis]
        guard shifted >= 0, shifted % pr.stride[axis] == 0, shifted / pr.stride[axis] < pr.output[axis]
        else { return 0 }
        y[axis] = shifted / pr.stride[axis]
      }
      let group = column / pr.cPerGroup
      for i in 0..<pr.kPerGroup {
        let k = group * pr.kPerGroup + i
        sum += Double(a[yIndex(row.first, k, y)]) * Double(b[wIndex(k, column % pr.cPerGroup, term)])
      }
    case .backwardFilter:
      let channel = row.first / pr.kPerGroup * pr.cPerGroup + column
      for q in 0..<pr.output.w {
        let y = Extent(d: term.d, h: term.h, w: q)
        guard let x = inputPosition(output: y, tap: row.at) else { continue }
        for n in 0..<pr.n {
          sum += Double(a[xIndex(n, channel, x)]) * Double(b[yIndex(n, row.first, y)])
        }
      }
    }
    return sum
  }

  private func inputPosition(output: Extent, tap: Extent) -> Extent? {
    var x = Extent(w: 0)
    for axis in 0..<3 {
      x[axis] =
        output[axis] * problem.stride[axis] + tap[axis] * problem.dilation[axis]
        - problem.padding.before[axis]
      if x[axis] < 0 || x[axis] >= problem.input[axis] { return nil }
    }
    return x
  }

  private func xIndex(_ n: Int, _ c: Int, _ at: Extent) -> Int {
    (((n * problem.c + c) * problem.input.d + at.d) * problem.input.h + at.h) * problem.input.w + at.w
  }

  private func wIndex(_ k: Int, _ c: Int, _ at: Extent) -> Int {
    (((k * problem.cPerGroup + c) * problem.filter.d + at.d) * problem.filter.h + at.h) * problem.filter.w
      + at.w
  }

  private func yIndex(_ n: Int, _ k: Int, _ at: Extent) -> Int {
    (((n * problem.k + k) * problem.output.d + at.d) * problem.output.h + at.h) * problem.output.w + at.w
  }
}
