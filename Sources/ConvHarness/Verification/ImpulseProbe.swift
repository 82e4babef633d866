import ConvCore

/// The adjoint identity on impulses: ⟨conv(x, w), dy⟩ = ⟨x, backwardData(dy, w)⟩ = ⟨w, backwardFilter(x, dy)⟩ where x and dy are 1 at
/// a few places (the first and last pixels and those on both sides of tile borders) of one channel of one image and 0
/// elsewhere, and w is a small positive integer at every tap between these channels.
///
/// All products that the three sums consist of are then integers of at least 1: none cancels another, so that a result which
/// loses a single one of them is off by 1 or more. The tolerance of each sum is Σ boundᵢ·|otherᵢ| with the component-wise
/// bounds of the plan's error model; it has to be below ½ for a lost element to be seen (`isProbative`). On dense random
/// operands (`AdjointIdentity`) one element may disappear in the tolerance of all the others.
public struct ImpulseProbe: Sendable {
  /// The image and channels of the impulses.
  public struct Place: Hashable, Sendable {
    public var image, group, inputChannel, outputChannel: Int
  }

  /// Where the impulses are; channels count within their group.
  public let place: Place
  /// The sum as an integer, from the oracle's forward pass.
  public let expected: Double
  /// The three sums in the order of `ConvPass.allCases`.
  public let products: [Double]
  /// How far each may be from the exact one.
  public let tolerances: [Double]

  /// Whether one lost element would be seen.
  public var isProbative: Bool { tolerances.allSatisfy { $0 < 0.5 } }

  /// Whether all three sums are what they should be, and the probe would have seen a lost element.
  public var holds: Bool {
    isProbative && zip(products, tolerances).allSatisfy { abs($0 - expected) <= $1 }
  }

  /// The largest quotient of a sum's distance from the expected one and its tolerance.
  public var ratio: Double {
    zip(products, tolerances).map { product, tolerance in
      product == expected ? 0 : product.isFinite ? abs(product - expected) / tolerance : .infinity
    }.max() ?? 0
  }

  /// Probes the first image and channels, the last ones, and those at the tail of vectors.
  ///
  /// Where the bounds of all impulses together are too wide for one to be seen, dy's are spread over several probes.
  /// - Throws: `ConvError.unsupported` where the engine declines a pass or its error model does not describe the problem; what
  ///   its plans throw.
  public static func all(
    _ backend: any ConvolutionBackend, _ problem: ConvProblem, elementType: ElementType = .float32,
    _ options: PlanOptions = PlanOptions(), pool: WorkerPool = .shared
  ) throws -> [ImpulseProbe] {
    let plans = try ConvPass.allCases.map {
      try backend.plan(for: ConvOperation($0, problem, elementType: elementType), options)
    }
    let outputs = places(problem.output)
    return try channels(problem).flatMap { place in
      try probes(plans, place, outputs, problem, elementType, pool)
    }
  }

  /// The channels and images of the probes.
  static func channels(_ problem: ConvProblem) -> [Place] {
    func tail(_ count: Int) -> Int { (count - 1) / 8 * 8 }
    let (n, g) = (problem.n - 1, problem.groups - 1)
    let all = [
      Place(image: 0, group: 0, inputChannel: 0, outputChannel: 0),
      Place(
        image: n, group: g, inputChannel: problem.cPerGroup - 1, outputChannel: problem.kPerGroup - 1),
      Place(
        image: n, group: g, inputChannel: tail(problem.cPerGroup), outputChannel: tail(problem.kPerGroup)),
    ]
    var seen = Set<Place>()
    return all.filter { seen.insert($0).inserted }
  }

  /// The crossings of every axis' borders.
  static func places(_ extent: Extent) -> [Extent] {
    let (depths, rows, columns) = (borders(extent.d), borders(extent.h), borders(extent.w))
    return depths.flatMap { d in rows.flatMap { h in columns.map { Extent(d: d, h: h, w: $0) } } }
  }

  /// The first and the last place, and both sides of the first and last border between tiles of 2, 3, 4 and 6.
  static func borders(_ extent: Int) -> [Int] {
    var found: Set<Int> = [0, extent - 1]
    for tile in [2, 3, 4, 6] {
      let last = (extent - 1) / tile * tile
      found.formUnion([tile - 1, tile, last - 1, last])
    }
    return found.filter { (0..<extent).contains($0) }.sorted()
  }

  private static func probes(
    _ plans: [any ConvPlan], _ place: Place, _ outputs: [Extent], _ problem: ConvProblem,
    _ elementType: ElementType, _ pool: WorkerPool
  ) throws -> [ImpulseProbe] {
    let data = try operands(problem, place, outputs, elementType)
    let sums = try plans.map { try Sum($0, place, data, outputs, pool) }
    if outputs.count > 1 && sums.contains(where: { $0.tolerance >= 0.5 }) {
      let half = outputs.count / 2
      return try probes(plans, place, Array(outputs[..<half]), problem, elementType, pool)
        + probes(plans, place, Array(outputs[half...]), problem, elementType, pool)
    }
    let verifier = Verifier(pool: pool)
    let products = try zip(plans, sums).map { plan, sum in
      try sum.product(of: verifier.execute(plan, data))
    }
    return [
      ImpulseProbe(
        place: place, expected: sums[0].expected, products: products, tolerances: sums.map(\.tolerance))
    ]
  }

  private static func operands(
    _ problem: ConvProblem, _ place: Place, _ outputs: [Extent], _ elementType: ElementType
  ) throws -> ProblemData {
    var data = try ProblemData(
      problem: problem, input: .zeros(problem.inputShape, elementType: elementType),
      filter: .zeros(problem.filterShape, elementType: elementType),
      outputGradient: .zeros(problem.outputShape, elementType: elementType))
    func set(_ tensor: inout Tensor, _ grid: SampleGrid, _ value: (Extent) -> Int) {
      func write<T: ConvScalar>(_: T.Type) {
        tensor.withUnsafeMutablePointer(as: T.self) { values in
          for row in grid.rows {
            for column in grid.columns { values[grid.index(row, column)] = T(value(row.at)) }
          }
        }
      }
      if elementType == .float64 { write(Double.self) } else { write(Float.self) }
    }
    set(&data.input, grid(problem, .backwardData, place, outputs)) { _ in 1 }
    set(&data.outputGradient, grid(problem, .forward, place, outputs)) { _ in 1 }
    // Neighbouring taps differ, so that an exchange of them is seen too.
    set(&data.filter, grid(problem, .backwardFilter, place, outputs)) { 1 + ($0.d + $0.h + 2 * $0.w) % 3 }
    return data
  }

  /// The results of a pass that its sum looks at: those where the other operand is not zero.
  private static func grid(
    _ problem: ConvProblem, _ pass: ConvPass, _ place: Place, _ outputs: [Extent]
  ) -> SampleGrid {
    let channel = place.group * problem.cPerGroup + place.inputChannel
    let filter = place.group * problem.kPerGroup + place.outputChannel
    let (first, column, positions) =
      switch pass {
      case .forward: (place.image, filter, outputs)
      case .backwardData: (place.image, channel, places(problem.input))
      case .backwardFilter: (filter, place.inputChannel, SampleGrid.positions(problem.filter))
      }
    return SampleGrid(
      pass: pass, problem: problem, rows: positions.map { SampleGrid.Row(first: first, at: $0) },
      columns: [column])
  }

  /// One of the three sums.
  private struct Sum {
    let grid: SampleGrid
    let other: [Double]
    let expected: Double
    let tolerance: Double

    init(
      _ plan: any ConvPlan, _ place: Place, _ data: ProblemData, _ outputs: [Extent], _ pool: WorkerPool
    ) throws {
      let pass = plan.operation.pass
      grid = ImpulseProbe.grid(data.problem, pass, place, outputs)
      let tensor =
        switch pass {
        case .forward: data.outputGradient
        case .backwardData: data.input
        case .backwardFilter: data.filter
        }
      other = Verifier.values(of: tensor, at: grid)
      let expectation = Expectation(grid: grid, data: data, pool: pool)
      guard
        let bounds = ErrorBounds(model: plan.errorModel, expectation: expectation, data: data, pool: pool)
      else {
        throw ConvError.unsupported(
          backend: plan.executedBy, operation: "\(plan.operation)",
          reason: "its error model \(plan.errorModel) does not describe the problem")
      }
      expected = zip(expectation.values, other).reduce(0) { $0 + $1.0 * $1.1 }
      tolerance = zip(bounds.bounds, other).reduce(0) { $0 + $1.0 * abs($1.1) }
    }

    func product(of result: Tensor) -> Double {
      zip(Verifier.values(of: result, at: grid), other).reduce(0) { $0 + $1.0 * $1.1 }
    }
  }
}

extension ImpulseProbe: CustomStringConvertible {
  /// The place, the three sums and their tolerances.
  public var description: String {
    let sums = zip(products, tolerances).map { "\($0) ± \($1)" }.joined(separator: ", ")
    return "impulses in image \(place.image), group \(place.group), channels \(place.inputChannel) and "
      + "\(place.outputChannel): \(expected) is expected, forward, backward-data and backward-filter give \(sums)"
  }
}
