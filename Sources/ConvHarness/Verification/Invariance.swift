import ConvCore

/// What should not change a result, though it changes how it is computed.
public enum Invariance: String, Sendable, Hashable, CaseIterable {
  /// The same operation twice, with a plan of its own each time.
  case runs = "run to run"
  /// One thread and two.
  case threads = "threads 1 vs 2"
  /// The whole batch, and its images one by one (for backward-filter their gradients added up in float64, rounded once).
  case batch = "batch split"
  /// Images in NCHW and in NHWC.
  case format = "nchw vs nhwc"

  /// Whether an engine on the pool's threads promises equal bits.
  public var isPromised: Bool { self == .runs || self == .threads }
}

/// How two results of one convolution differ.
public enum InvarianceCell: Sendable, Hashable {
  /// Not at all.
  case bitEqual
  /// In units in the last place: the number of floating-point numbers from one value to the other, at most.
  case apart(ulps: UInt64)
  /// The engine declines one of the two.
  case declined(String)

  /// What is said of both: the larger difference, else agreement; a refusal only where there is nothing else.
  static func worse(_ a: InvarianceCell, _ b: InvarianceCell) -> InvarianceCell {
    switch (a, b) {
    case (.apart(let x), .apart(let y)): .apart(ulps: max(x, y))
    case (.apart, _), (.bitEqual, .declined), (.bitEqual, .bitEqual), (.declined, .declined): a
    default: b
    }
  }
}

extension InvarianceCell: CustomStringConvertible {
  /// `bit-equal`, `≤ 1 ULP`, `differs (max ULP 12)` or `declined`.
  public var description: String {
    switch self {
    case .bitEqual: "bit-equal"
    case .apart(let ulps): ulps <= 1 ? "≤ 1 ULP" : "differs (max ULP \(ulps))"
    case .declined: "declined"
    }
  }
}

/// One row of the invariance matrix: an engine and a pass, over some problems.
public struct InvarianceRow: Sendable {
  public var backend: String
  public var pass: ConvPass
  /// Whether the engine promises equal bits where `Invariance.isPromised`.
  public var promises: Bool
  /// The worst cell over all problems, with the problem that it comes from.
  public var cells: [Invariance: (cell: InvarianceCell, problem: ConvProblem)]

  /// What the engine promises and does not keep.
  public var broken: [Invariance] {
    guard promises else { return [] }
    return Invariance.allCases.filter { what in
      guard what.isPromised, case .apart = cells[what]?.cell else { return false }
      return true
    }
  }
}

/// Measures what changes the bits of an engine's results.
public struct InvarianceCheck: Sendable {
  /// Seed of the data.
  public let seed: UInt64
  public let elementType: ElementType
  /// Workspace that plans may ask for.
  public let workspaceLimit: Int

  /// A check on normally distributed data.
  public init(
    seed: UInt64 = 1, elementType: ElementType = .float32,
    workspaceLimit: Int = PlanOptions().workspaceLimit
  ) {
    self.seed = seed
    self.elementType = elementType
    self.workspaceLimit = workspaceLimit
  }

  /// The row of an engine and a pass.
  ///
  /// - Parameters:
  ///   - threads: the numbers of threads that are compared.
  ///   - kinds: the cells.
  /// - Throws: what plans of supported operations throw.
  public func row(
    _ competitor: Competitor, _ pass: ConvPass, _ problems: [ConvProblem], threads: (Int, Int) = (1, 2),
    of kinds: [Invariance] = Invariance.allCases
  ) throws -> InvarianceRow {
    var row = InvarianceRow(
      backend: competitor.label, pass: pass, promises: competitor.backend.threading == .workerPool, cells: [:]
    )
    for problem in problems {
      let data = try ProblemData(
        problem: problem, elementType: elementType, distribution: .normal, seed: seed)
      for what in kinds {
        let cell = try cell(what, competitor, pass, data, threads)
        guard let old = row.cells[what] else {
          row.cells[what] = (cell, problem)
          continue
        }
        if InvarianceCell.worse(old.cell, cell) != old.cell { row.cells[what] = (cell, problem) }
      }
    }
    return row
  }

  /// One cell.
  func cell(
    _ what: Invariance, _ competitor: Competitor, _ pass: ConvPass, _ data: ProblemData,
    _ threads: (Int, Int)
  ) throws -> InvarianceCell {
    do {
      func run(_ data: ProblemData, _ format: MemoryFormat = .nchw, threads count: Int) throws -> Tensor {
        try execute(competitor, pass, data, format, threads: count)
      }
      let whole = try run(data, threads: threads.0)
      let other =
        switch what {
        case .runs: try run(data, threads: threads.0)
        case .threads: try run(data, threads: threads.1)
        case .format: try run(data, .nhwc, threads: threads.0)
        case .batch:
          try joined((0..<data.problem.n).map { try run(image($0, of: data), threads: threads.0) }, pass)
        }
      return InvarianceCheck.compare(whole, other)
    } catch ConvError.unsupported(_, _, let reason) {
      return .declined(reason)
    }
  }

  private func execute(
    _ competitor: Competitor, _ pass: ConvPass, _ data: ProblemData, _ format: MemoryFormat, threads: Int
  ) throws -> Tensor {
    let operation = ConvOperation(
      pass, data.problem, elementType: elementType, inputFormat: format, outputFormat: format)
    let options = PlanOptions(
      threads: threads, workspaceLimit: workspaceLimit, variant: competitor.variant)
    if let reason = competitor.backend.support(for: operation, options).reason {
      throw ConvError.unsupported(
        backend: competitor.backend.name, operation: "\(operation)", reason: reason)
    }
    let plan = try competitor.backend.plan(for: operation, options)
    return try Verifier(pool: .pool(threads: threads)).execute(plan, data)
  }

  /// The problem of one image.
  private func image(_ index: Int, of data: ProblemData) throws -> ProblemData {
    let problem = try data.problem.withBatch(1)
    func part(_ tensor: Tensor, _ extent: Extent, _ shape: [Int]) throws -> Tensor {
      try Block(tensor, extent).sliced(first: index..<index + 1).tensor(shape, elementType)
    }
    return try ProblemData(
      problem: problem, input: part(data.input, problem.input, problem.inputShape), filter: data.filter,
      outputGradient: part(data.outputGradient, problem.output, problem.outputShape))
  }

  /// Images one after the other; filter gradients are summed.
  private func joined(_ parts: [Tensor], _ pass: ConvPass) throws -> Tensor {
    let values = try parts.map { try $0.converted(to: .float64).values(as: Double.self) }
    var shape = parts[0].shape
    if pass == .backwardFilter {
      let sums = values.dropFirst().reduce(values[0]) { zip($0, $1).map { $0 + $1 } }
      return try Tensor(sums, shape: shape).converted(to: elementType)
    }
    shape[0] *= parts.count
    return try Tensor(values.flatMap { $0 }, shape: shape).converted(to: elementType)
  }

  /// Compares bits; the sign of zero counts, and a NaN on one side alone is as far as can be.
  static func compare(_ a: Tensor, _ b: Tensor) -> InvarianceCell {
    func worst<T: ConvScalar>(_: T.Type, _ distance: (T, T) -> UInt64, _ isEqual: (T, T) -> Bool)
      -> InvarianceCell
    {
      let pairs = zip(a.values(as: T.self), b.values(as: T.self))
      var (most, equal) = (UInt64(0), true)
      for (x, y) in pairs where !isEqual(x, y) {
        equal = false
        most = max(most, distance(x, y))
      }
      return equal ? .bitEqual : .apart(ulps: most)
    }
    if a.elementType == .float64 {
      return worst(Double.self, ulps) { $0.bitPattern == $1.bitPattern }
    }
    return worst(Float.self, ulps) { $0.bitPattern == $1.bitPattern }
  }

  /// Steps from `a` to `b` through the numbers of the type; none between the two zeros.
  private static func ulps(_ a: Float, _ b: Float) -> UInt64 {
    if a.isNaN || b.isNaN { return .max }
    func order(_ x: Float) -> Int64 {
      let magnitude = Int64(x.bitPattern & 0x7FFF_FFFF)
      return x.sign == .minus ? -magnitude : magnitude
    }
    return (order(a) - order(b)).magnitude
  }

  private static func ulps(_ a: Double, _ b: Double) -> UInt64 {
    if a.isNaN || b.isNaN { return .max }
    func order(_ x: Double) -> Int64 {
      let magnitude = Int64(x.bitPattern & 0x7FFF_FFFF_FFFF_FFFF)
      return x.sign == .minus ? -magnitude : magnitude
    }
    let (difference, overflow) = order(a).subtractingReportingOverflow(order(b))
    return overflow ? .max : difference.magnitude
  }
}
