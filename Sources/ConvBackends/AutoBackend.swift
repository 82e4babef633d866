public import ConvCore
import ConvDirect
import ConvIm2col
import ConvWinograd

#if FFTW
  import ConvFFT
#endif

/// The engine and variant with the least predicted time, operation by operation.
///
/// Every candidate that supports the operation makes its plan; the plans say what work they are (`ConvPlan.work`), `CostModel` prices
/// it, and the cheapest is taken. Plans keep their own names: `executedBy` and `variant` of a plan of this backend say what was
/// chosen. The choice follows from the operation, the instruction set and the options other than threads. No measurement enters,
/// unless a plan file is followed: its choices come first.
public struct AutoBackend: ConvolutionBackend {
  /// An engine and a variant of it.
  public typealias Candidate = BackendRegistry.Selection

  /// What is chosen from.
  public let candidates: [Candidate]
  /// Choices that come before predictions.
  private var measured: [ConvPlanFile.Key: Candidate] = [:]

  /// From our own engines, with those variants that an engine does not choose by itself.
  public init() {
    var candidates = [
      Candidate(backend: .direct), Candidate(backend: .winograd), Candidate(backend: .im2col),
    ]
    candidates.append(AutoBackend.largeTiles)
    #if FFTW
      candidates.append(Candidate(backend: .fft))
    #endif
    self.candidates = candidates
  }

  /// From these.
  public init(candidates: [Candidate]) { self.candidates = candidates }

  /// From our own engines, but for the operations of a plan file as it says.
  ///
  /// - Throws: `ConvError.unknownName` for an engine that this build has not, `.unsupported` where an engine declines what the file
  ///   gives it under the limits that the file was made with.
  public init(following plan: ConvPlanFile.MachinePlan) throws {
    self.init()
    for (key, choice) in plan.choices {
      let candidate = try BackendRegistry.named(choice.backend)
      let operation = ConvOperation(key.pass, key.problem, inputFormat: key.format, outputFormat: key.format)
      let options = PlanOptions(
        threads: plan.machine.threads, workspaceLimit: plan.workspaceLimit, filterState: key.filterState)
      if let reason = candidate.backend.support(for: operation, candidate.options(options)).reason {
        throw ConvError.unsupported(
          backend: "auto", operation: "\(operation)",
          reason: "the plan file names \(candidate), which declines: \(reason)")
      }
      measured[key] = candidate
    }
  }

  /// The engines and variants that `vbench tune` tries: the candidates, and variants whose gain or loss the cost model does not see.
  public static var tuningCandidates: [Candidate] {
    var candidates = AutoBackend().candidates
    candidates += ["tile=2x2", "tile=6x6"].map { Candidate(backend: .winograd, variant: $0) }
    candidates += ["gemm=kernel"].map { Candidate(backend: .im2col, variant: $0) }
    return candidates
  }

  /// F(4×4, 5×5) does less than half of the products of F(2×2, 5×5), at about four times its error. F(6×6, 3×3) is not among the
  /// candidates: its gain is small, its error is ten times that of F(4×4, 3×3).
  private static let largeTiles = Candidate(backend: .winograd, variant: "tile=4x4")

  /// `auto`.
  public var name: String { "auto" }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  /// Both.
  public var nativeFormats: [MemoryFormat] { [.nhwc, .nchw] }

  /// Whether any candidate supports the operation, by itself or through lowerings; else the first one's reason.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    if let variant = options.variant {
      return .unsupported("auto has no variants, '\(variant)' was asked for")
    }
    if let candidate = planned(operation, options) {
      let support = candidate.backend.support(for: operation, candidate.options(options))
      guard let reason = support.reason else { return .supported }
      return .unsupported("the plan file names \(candidate), which declines: \(reason)")
    }
    var reason: String?
    for candidate in candidates where isSensible(candidate, operation) {
      switch candidate.backend.support(for: operation, candidate.options(options)) {
      case .supported: return .supported
      case .unsupported(let why): reason = reason ?? "\(candidate): \(why)"
      }
    }
    return .unsupported(reason ?? "auto has no candidates")
  }

  /// The plan with the least predicted time.
  ///
  /// - Throws: `ConvError.unsupported` with the first candidate's reason.
  public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try cheapestPlan(operation, options)
  }

  /// The plan with the least predicted time.
  ///
  /// - Throws: `ConvError.unsupported` with the first candidate's reason.
  public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try cheapestPlan(operation, options)
  }

  /// The plan with the least predicted time.
  ///
  /// - Throws: `ConvError.unsupported` with the first candidate's reason.
  public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try cheapestPlan(operation, options)
  }

  private func cheapestPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    if let candidate = planned(operation, options) {
      return try candidate.backend.plan(for: operation, candidate.options(options))
    }
    // The bare convolution decides, so that a fused epilogue has the bits of separate passes.
    var bare = operation
    bare.epilogue = .none
    var best: (candidate: Candidate, plan: any ConvPlan, nanoseconds: Double)?
    for candidate in candidates where isSensible(candidate, operation) {
      let options = candidate.options(options)
      guard candidate.backend.support(for: operation, options).isSupported else { continue }
      let plan = try candidate.backend.plan(for: bare, options)
      let nanoseconds = plan.predictedNanoseconds
      if nanoseconds < best?.nanoseconds ?? .infinity { best = (candidate, plan, nanoseconds) }
    }
    if let best {
      if operation == bare { return best.plan }
      return try best.candidate.backend.plan(for: operation, best.candidate.options(options))
    }
    let reason = nativeSupport(for: operation, options).reason ?? ""
    throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
  }

  /// The plan file's choice, if it has one.
  private func planned(_ operation: ConvOperation, _ options: PlanOptions) -> Candidate? {
    if measured.isEmpty { return nil }
    return ConvPlanFile.Key(operation, options.filterState).flatMap { measured[$0] }
  }

  /// What the cost model need not be asked: algorithms where they have nothing to save.
  private func isSensible(_ candidate: Candidate, _ operation: ConvOperation) -> Bool {
    let problem = operation.problem
    switch (candidate.backend.name, candidate.variant) {
    case ("winograd", AutoBackend.largeTiles.variant):
      return AutoBackend.suitsLargeTiles(operation)
    case ("winograd", _):
      // Minimal filtering saves nothing on single taps, and its products need channels to sum over.
      return problem.filter.count > 1 && problem.cPerGroup > 1
    case ("fft", _):
      // Small dense filters: tiles of 8 and 16 samples cost more than Winograd's, and the model is not fine enough to see it.
      return problem.groups > 1 || !(2...9).contains(problem.filter.count)
    default:
      return true
    }
  }

  /// F(4×4, 5×5) is for 5×5 filters, and for sums that are short enough: beyond about 200 terms its rounding errors are bounded by
  /// more than 5 % of the results, and a bound that loose proves nothing.
  private static func suitsLargeTiles(_ operation: ConvOperation) -> Bool {
    let problem = operation.problem
    guard problem.filter.h == 5, problem.filter.w == 5 else { return false }
    let tiles = problem.n * ((problem.output.h + 3) / 4) * ((problem.output.w + 3) / 4)
    let terms =
      switch operation.pass {
      case .forward: problem.cPerGroup
      case .backwardData: problem.kPerGroup
      case .backwardFilter: tiles
      }
    return terms <= 200
  }
}

extension BackendRegistry.Selection {
  /// The options for this candidate.
  fileprivate func options(_ options: PlanOptions) -> PlanOptions {
    var own = options
    own.variant = variant
    return own
  }
}

extension ConvolutionBackend where Self == AutoBackend {
  /// The engine with the least predicted time.
  public static var auto: AutoBackend { AutoBackend() }
}
