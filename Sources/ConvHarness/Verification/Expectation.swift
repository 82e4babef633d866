import ConvCore

/// What the sampled results of a pass should be: float64 values from the oracle, with what their error bounds are made of.
public struct Expectation: Sendable {
  /// Which results.
  public let grid: SampleGrid
  /// The element type of the operands.
  public let elementType: ElementType
  /// The results, rows × columns.
  public let values: [Double]
  /// Σ|a·b| of the same results.
  public let magnitudes: [Double]
  /// Σ(a·b)², and Σs² of the partial sums, of the one of two orders that has more.
  public let squares: [Double], paths: [Double]
  /// The results of operands rounded to 11 bits.
  public let coarse: [Double]
  /// Errors of plain sums in the operands' type; empty for data that the harness drew at random.
  public let controls: [Double]
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
  /// - Throws: `MemoryError`.
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
    (grid, elementType) = (other.grid, other.elementType)
    self.values = values
    (magnitudes, squares, paths) = (other.magnitudes, other.squares, other.paths)
    (coarse, controls, contributions) = (other.coarse, other.controls, other.contributions)
  }

  private init<T: ConvScalar>(grid: SampleGrid, data: ProblemData, as: T.Type, pool: WorkerPool) {
    let losses = LostTerm.candidates(data.problem, grid.pass)
    let parts = losses.map { lost in { @Sendable (place: Extent) in lost.holds(place, grid.pass) } }
    let (first, second) = data.operands(of: grid.pass)
    let oracle = SampledOracle<T>(data.problem, grid.pass, hasControl: !data.isDrawn)
    var samples = [(value: SampledOracle<T>.Value, parts: [Double])](
      repeating: (SampledOracle<T>.Value(), []), count: grid.count)
    let columns = grid.columns
    samples.withUnsafeMutableBufferPointer { samples in
      first.withUnsafePointer(as: T.self) { a in
        second.withUnsafePointer(as: T.self) { b in
          pool.parallelFor(grid.rows.count) { i in
            let row = grid.rows[i]
            let found = oracle.values(a, b, first: row.first, at: row.at, columns: columns, parts: parts)
            for j in columns.indices { samples[i * columns.count + j] = found[j] }
          }
        }
      }
    }
    self.grid = grid
    elementType = data.elementType
    values = samples.map(\.value.sum)
    magnitudes = samples.map(\.value.magnitude)
    squares = samples.map(\.value.squares)
    paths = samples.map(\.value.path)
    coarse = samples.map(\.value.coarse)
    controls = data.isDrawn ? [] : samples.map(\.value.control)
    contributions = losses.indices.map { index in samples.map { $0.parts[index] } }
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

  /// Whether a filter tap (for backwardFilter an output position) belongs to it.
  func holds(_ place: Extent, _ pass: ConvPass) -> Bool {
    pass == .backwardFilter ? place.d == at.d && place.h == at.h : place == at
  }

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
