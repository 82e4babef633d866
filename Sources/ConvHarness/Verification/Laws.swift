import ConvCore

/// What holds for every right convolution, whatever the data: two computations by the same engine have to agree within the sum
/// of both sides' bounds. No reference is needed, and engines are led through other code on each side (other tiles, other
/// lowerings).
public enum Law: String, Sendable, Hashable, CaseIterable {
  /// conv(2a − 3b, w) = 2·conv(a, w) − 3·conv(b, w), and the same in the other operand; the combinations are exact.
  case linearity
  /// An image that is moved by whole strides into a larger one of zeros has the same results, moved.
  case shift
  /// A grouped convolution is the concatenation of its groups.
  case groups
  /// A dilated filter is a dense one with zeros between the taps.
  case dilation
  /// A strided result is the dense one, subsampled.
  case stride
  /// ⟨conv(x, w), y⟩ = ⟨x, backwardData(y, w)⟩ = ⟨w, backwardFilter(x, y)⟩ (`AdjointIdentity`).
  case adjoint
  /// The same on impulses, where a single lost element is seen (`ImpulseProbe`).
  case impulses
  /// Small integers, on which results must be exact, or nearest (`IntegerLane`).
  case integers
  /// An element that is NaN or infinite reaches the results that have it in their sum, and beyond them no further than a tile
  /// (`NonFiniteReach`).
  case nonFinite = "nonfinite"
  /// Results of data as large as `FiniteRange` allows are finite, and as accurate as others (`HugeValueCheck`).
  case huge

  /// Whether one check ties all three passes.
  public var tiesAllPasses: Bool { self == .adjoint || self == .impulses }
}

/// The outcome of one law on one problem.
public struct LawOutcome: Sendable {
  /// What came out.
  public enum Result: Sendable, Hashable {
    case held
    /// With the place and both values.
    case failed(String)
    /// With the engine's reason for declining one of the sides.
    case skipped(String)
  }

  public var law: Law
  /// The engine's label.
  public var backend: String
  /// Its name on the command line.
  public var selection: String
  /// nil for laws that tie all passes.
  public var pass: ConvPass?
  /// The problem as the law changed it.
  public var problem: ConvProblem
  public var elementType: ElementType
  /// The seed of the problem and of the data.
  public var seed: UInt64
  public var result: Result
  /// Largest quotient of a difference and the sum of both sides' bounds; NaN where nothing was compared by bounds.
  public var ratio: Double

  /// Whether the law was broken.
  public var isFailure: Bool {
    if case .failed = result { return true }
    return false
  }
}

extension LawOutcome: CustomStringConvertible {
  /// As in `winograd forward shift on conv2d:…, seed 3`.
  public var description: String {
    let type = elementType == .float32 ? "" : " \(elementType.rawValue)"
    return
      "\(backend) \(pass.map { "\($0.rawValue) " } ?? "")\(law.rawValue) on \(problem)\(type), seed \(seed)"
  }

  /// A command that repeats the check.
  public var repro: String {
    "vbench check \(problem) --law \(law.rawValue) --backends \(ShellText.quoted(selection))"
      + (pass.map { " --passes \($0.rawValue)" } ?? "")
      + (elementType == .float32 ? "" : " --element-type \(elementType.rawValue)")
      + " --seed \(seed) --count 1"
  }
}

/// Checks laws on engines.
public struct LawRun: Sendable {
  /// Threads that plans run on.
  public let pool: WorkerPool

  /// A run on a pool.
  public init(pool: WorkerPool = .shared) { self.pool = pool }

  /// One law, on one problem, with data of the seed.
  ///
  /// The problem is changed where the law says nothing about it: given groups, a dilation or a stride.
  /// - Parameters:
  ///   - taps: filter taps per axis that the engine is limited to; dilated filters are then chosen so that the dense ones are
  ///     among them.
  ///   - pass: of no account for laws that tie all passes.
  public func outcome(
    _ law: Law, _ competitor: Competitor, _ pass: ConvPass, _ problem: ConvProblem, taps: [Int]? = nil,
    elementType: ElementType = .float32, seed: UInt64
  ) -> LawOutcome {
    var outcome = LawOutcome(
      law: law, backend: competitor.label, selection: competitor.selection,
      pass: law.tiesAllPasses ? nil : pass, problem: problem,
      elementType: elementType, seed: seed, result: .held, ratio: .nan)
    do {
      outcome.problem = try LawRun.adapted(problem, to: law, taps: taps, seed: seed)
      let options = PlanOptions(threads: pool.threads, variant: competitor.variant)
      let operation = ConvOperation(pass, outcome.problem, elementType: elementType)
      switch law {
      case .integers:
        let result = IntegerLane.check(competitor.backend, operation, options, seed: seed, pool: pool)
        switch result.verdict {
        case .passed: outcome.ratio = result.errorRatio
        case .unsupported: outcome.result = .skipped(result.reason)
        default: outcome.result = .failed(result.reason)
        }
      case .adjoint:
        let identity = try AdjointIdentity(
          competitor.backend, outcome.problem, elementType: elementType, options, seed: seed, pool: pool)
        outcome.ratio = identity.ratio
        if !identity.holds { outcome.result = .failed("\(identity)") }
      case .impulses:
        let probes = try ImpulseProbe.all(
          competitor.backend, outcome.problem, elementType: elementType, options, pool: pool)
        outcome.ratio = probes.map(\.ratio).max() ?? .nan
        if let broken = probes.first(where: { !$0.holds }) { outcome.result = .failed("\(broken)") }
      case .nonFinite:
        let check = NonFiniteCheck(
          backend: competitor.backend, operation: operation, options: options, seed: seed, pool: pool)
        if let difference = try check.difference() { outcome.result = .failed(difference) }
      case .huge:
        let check = HugeValueCheck(
          backend: competitor.backend, operation: operation, options: options, seed: seed, pool: pool)
        let found = try check.compare()
        outcome.ratio = found.ratio
        if let difference = found.difference { outcome.result = .failed(difference) }
      case .linearity, .shift, .groups, .dilation, .stride:
        let sides = LawSides(
          backend: competitor.backend, options: options, operation: operation, seed: seed, pool: pool)
        let found = try sides.compare(law)
        outcome.ratio = found.ratio
        if let difference = found.difference { outcome.result = .failed(difference) }
      }
    } catch ConvError.unsupported(_, _, let reason) {
      outcome.result = .skipped(reason)
    } catch {
      outcome.result = .failed("\(competitor.backend.name) promised support, then: \(error)")
    }
    return outcome
  }

  /// Whether the dense filter of a dilated problem has numbers of taps that the engine takes.
  private static func isWithin(_ taps: [Int]?, _ problem: ConvProblem) -> Bool {
    guard let taps else { return true }
    return problem.axesInUse.filter { $0 > 0 }.allSatisfy {
      taps.contains((problem.filter[$0] - 1) * problem.dilation[$0] + 1)
    }
  }

  /// The smallest problem on which a broken law is broken still, found within a budget.
  public func minimal(
    _ outcome: LawOutcome, _ competitor: Competitor, seconds: Double, shouldStop: () -> Bool = { false }
  ) -> LawOutcome {
    var smallest = outcome
    _ = CaseShrinker(seconds: seconds).shrink(outcome.problem, shouldStop: shouldStop) { problem in
      let found = self.outcome(
        outcome.law, competitor, outcome.pass ?? .forward, problem, elementType: outcome.elementType,
        seed: outcome.seed)
      // A law that needs groups, a stride or a dilation would give the problem them again.
      guard found.isFailure, found.problem == problem else { return false }
      smallest = found
      return true
    }
    return smallest
  }

  /// The problem with what the law is about; unchanged where it has that already.
  static func adapted(
    _ problem: ConvProblem, to law: Law, taps: [Int]?, seed: UInt64
  ) throws -> ConvProblem {
    var random = PhiloxGenerator(seed: seed, stream: 0x1A3)
    var (groups, input, filter) = (problem.groups, problem.input, problem.filter)
    var (stride, dilation) = (problem.stride, problem.dilation)
    switch law {
    case .groups where groups == 1:
      groups = Int.random(in: 2...3, using: &random)
    case .dilation where dilation == Extent(w: 1) || !isWithin(taps, problem):
      for axis in problem.axesInUse {
        // Three taps two apart are five.
        if taps != nil { filter[axis] = 3 }
        dilation[axis] = taps == nil ? Int.random(in: 2...3, using: &random) : 2
        let reach = (filter[axis] - 1) * dilation[axis] + 1
        input[axis] = max(input[axis], reach - problem.padding.before[axis] - problem.padding.after[axis] + 2)
      }
    case .stride where stride == Extent(w: 1):
      for axis in problem.axesInUse {
        stride[axis] = Int.random(in: 2...3, using: &random)
      }
    default:
      return problem
    }
    return try ConvProblem(
      spatialRank: problem.spatialRank, n: problem.n, c: problem.cPerGroup * groups,
      k: problem.kPerGroup * groups, groups: groups, input: input, filter: filter, stride: stride,
      padding: problem.padding, dilation: dilation)
  }
}
