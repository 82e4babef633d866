public import ConvCore
import ConvDirect
import ConvIm2col
import ConvWinograd

#if FFTW
  import ConvFFT
#endif

/// The engine and variant with the least predicted time, operation by operation.
///
/// Every candidate that supports the operation says what work its plan would be (`ConvolutionBackend.work`), the machine's profile
/// prices it, and the cheapest makes its plan. Plans keep their own names: `executedBy` and `variant` of a plan of this backend say
/// what was chosen. The choice follows from the operation, the profile and the options other than threads. No measurement enters,
/// unless a plan file is followed: its choices come first.
public struct AutoBackend: ConvolutionBackend {
  /// An engine and a variant of it.
  public typealias Candidate = BackendRegistry.Selection

  /// What is chosen from.
  public let candidates: [Candidate]
  /// Choices that come before predictions.
  private var planned: PlannedChoices?
  /// A reference, so that equal backends are known by one address.
  private final class Prices: Sendable {
    let profile: MachineProfile
    init(_ profile: MachineProfile) { self.profile = profile }
  }
  private var prices: Prices?

  /// The profile that it chooses by: its own, else the process's.
  public var profile: MachineProfile { prices?.profile ?? .current }

  /// From our own engines, with those variants that an engine does not choose by itself.
  ///
  /// - Parameter profile: Prices to choose by; nil takes those of this machine (`MachineProfile.current`).
  public init(profile: MachineProfile? = nil) {
    var candidates = [
      Candidate(backend: .direct), Candidate(backend: .winograd), Candidate(backend: .im2col),
    ]
    candidates.append(AutoBackend.largeTiles)
    #if FFTW
      candidates.append(Candidate(backend: .fft))
    #endif
    self.init(candidates: candidates, profile: profile)
  }

  /// From these.
  public init(candidates: [Candidate], profile: MachineProfile? = nil) {
    self.candidates = candidates
    prices = profile.map(Prices.init)
  }

  /// From our own engines, but for the operations of a plan file as it says.
  ///
  /// - Throws: as `init(following:)` of several.
  public init(following plan: ConvPlanFile.MachinePlan) throws { try self.init(following: [plan]) }

  /// The same of several numbers of threads: each is followed by operations that are executed with as many.
  ///
  /// - Throws: `ConvError.unknownName` for an engine that this build has not, `.unsupported` where an engine declines what the file
  ///   gives it under the limits that the file was made with.
  public init(following plans: [ConvPlanFile.MachinePlan]) throws {
    self.init()
    planned = try PlannedChoices(plans)
  }

  /// The engines and variants that `vbench tune` tries: the candidates, and variants whose gain or loss the cost model does not see.
  public static var tuningCandidates: [Candidate] {
    var candidates = AutoBackend().candidates
    candidates += ["tile=2x2", "tile=6x6"].map { Candidate(backend: .winograd, variant: $0) }
    candidates += ["gemm=kernel"].map { Candidate(backend: .im2col, variant: $0) }
    return candidates
  }

  /// F(4×4, 5×5) does less than half of the products of F(2×2, 5×5), at about four times its error.
  private static let largeTiles = Candidate(backend: .winograd, variant: "tile=4x4")

  /// `auto`.
  public var name: String { "auto" }
  /// Its plans are the candidates'.
  public var choosesEngines: Bool { true }
  /// All three.
  public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
  /// Both.
  public var nativeFormats: [MemoryFormat] { [.nhwc, .nchw] }

  /// Whether any candidate supports the operation, by itself or through lowerings; else the first one's reason.
  public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    if let variant = options.variant {
      return .unsupported("auto has no variants, '\(variant)' was asked for")
    }
    if let candidate = plannedCandidate(for: operation, options) {
      if candidate.backend.supports(operation, candidate.options(options)) { return .supported }
      return .unsupported(
        "the plan file names \(candidate), which declines: \(declineReason(candidate, operation, options))")
    }
    let isSupported = candidates.contains { candidate in
      reservation(candidate, operation) == nil
        && candidate.backend.supports(operation, candidate.options(options))
    }
    if isSupported { return .supported }
    guard let first = candidates.first else { return .unsupported("auto has no candidates") }
    let reason = reservation(first, operation) ?? declineReason(first, operation, options)
    return .unsupported("\(first): \(reason)")
  }

  /// Why a candidate declines whatever the workspace: that a limit is too small, and for whom, is seen by who asks for support.
  private func declineReason(
    _ candidate: Candidate, _ operation: ConvOperation, _ options: PlanOptions
  ) -> String {
    var own = candidate.options(options)
    own.workspaceLimit = PlanOptions.unlimitedWorkspace
    return candidate.backend.support(for: operation, own).reason ?? "the workspace limit is too small"
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
    if let candidate = plannedCandidate(for: operation, options) {
      return try candidate.backend.plan(for: operation, candidate.options(options))
    }
    if let best = cheapest(operation, options) {
      return try best.backend.plan(for: operation, best.options(options))
    }
    let reason = nativeSupport(for: operation, options).reason ?? ""
    throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: reason)
  }

  /// What became of a candidate.
  public enum Consideration: Sendable, Hashable {
    /// Its plan would take so many nanoseconds of one core.
    case predicted(nanoseconds: Double)
    /// It could do the operation, and is left out for another reason than time.
    case leftOut(reason: String)
    /// It cannot do the operation.
    case declined(reason: String)
  }

  /// What `auto` thinks of each candidate, in their order, and what is no candidate although it may be faster. No plan is made.
  public func considerations(
    _ operation: ConvOperation, _ options: PlanOptions
  ) -> [(candidate: Candidate, consideration: Consideration)] {
    let prices = profile.prices
    var considered = candidates
    let filter = operation.problem.filter
    let isOwn = candidates.contains { $0.description == AutoBackend.largeTiles.description }
    if isOwn, filter.h == 3, filter.w == 3 { considered.append(AutoBackend.largestTiles) }
    return considered.map { candidate in
      if let reason = reservation(candidate, operation) { return (candidate, .leftOut(reason: reason)) }
      do {
        if let nanoseconds = try prediction(candidate, operation, options, prices) {
          return (candidate, .predicted(nanoseconds: nanoseconds))
        }
      } catch {
        return (candidate, .declined(reason: "\(error)"))
      }
      let own = candidate.options(options)
      let reason = candidate.backend.support(for: operation, own).reason
      return (candidate, .declined(reason: reason ?? "it has no plan for the bare convolution"))
    }
  }

  /// Nanoseconds of a candidate's plan; nil where it declines.
  private func prediction(
    _ candidate: Candidate, _ operation: ConvOperation, _ options: PlanOptions, _ prices: WorkPrices
  ) throws -> Double? {
    let options = candidate.options(options)
    // The bare convolution decides, so that a fused epilogue has the bits of separate passes.
    var bare = operation
    bare.epilogue = .none
    if operation != bare, !candidate.backend.supports(operation, options) { return nil }
    let work = try candidate.backend.workIfSupported(for: bare, options)
    return work.map { prices.nanoseconds($0, elementType: operation.elementType) }
  }

  /// The candidate with the least predicted time; the first of equals.
  private func cheapest(_ operation: ConvOperation, _ options: PlanOptions) -> Candidate? {
    let prices = profile.prices
    var best: (candidate: Candidate, nanoseconds: Double)?
    for candidate in candidates where reservation(candidate, operation) == nil {
      if let nanoseconds = try? prediction(candidate, operation, options, prices),
        nanoseconds < best?.nanoseconds ?? .infinity
      {
        best = (candidate, nanoseconds)
      }
    }
    return best?.candidate
  }

  /// The plan file's choice for an operation; nil where a prediction decides.
  public func plannedCandidate(for operation: ConvOperation, _ options: PlanOptions) -> Candidate? {
    planned?.candidate(for: operation, options)
  }

  /// Whether time alone decides about a candidate.
  public func considers(_ candidate: Candidate, _ operation: ConvOperation) -> Bool {
    reservation(candidate, operation) == nil
  }

  /// Why a candidate is left out although it might be the fastest; nil where time alone decides.
  private func reservation(_ candidate: Candidate, _ operation: ConvOperation) -> String? {
    if candidate.backend is WinogradBackend, operation.problem.filter.count == 1 {
      return "a single tap: minimal filtering has no products to save"
    }
    switch candidate.description {
    case AutoBackend.largeTiles.description: return AutoBackend.reservationAboutLargeTiles(operation)
    case AutoBackend.largestTiles.description: return AutoBackend.reservationAboutLargestTiles
    default: return nil
    }
  }

  /// F(6×6, 3×3) is never taken.
  private static let largestTiles = Candidate(backend: .winograd, variant: "tile=6x6")
  private static let reservationAboutLargestTiles =
    "its error bounds are some five times those of F(4×4, 3×3); a plan file or --backends may name it"

  /// Terms of a sum up to which F(4×4, 5×5) is taken: beyond, its rounding errors are bounded by more than 5 % of the results, and a
  /// bound that loose proves nothing.
  private static let mostTerms = 200

  private static func reservationAboutLargeTiles(_ operation: ConvOperation) -> String? {
    let problem = operation.problem
    let filter = problem.filter
    guard filter.h == 5, filter.w == 5 else {
      return
        "the variant is for 5×5 filters, not for \(filter.h)×\(filter.w); winograd's own choice stands for others"
    }
    let tiles = problem.n * ((problem.output.h + 3) / 4) * ((problem.output.w + 3) / 4)
    let terms =
      switch operation.pass {
      case .forward: problem.cPerGroup
      case .backwardData: problem.kPerGroup
      case .backwardFilter: tiles
      }
    if terms <= mostTerms { return nil }
    return
      "sums of \(terms) terms: F(4×4, 5×5) is taken for at most \(mostTerms), beyond which its error bound proves nothing"
  }
}

extension BackendRegistry.Selection {
  /// The options for this candidate.
  func options(_ options: PlanOptions) -> PlanOptions {
    var own = options
    own.variant = variant
    return own
  }
}

extension ConvolutionBackend where Self == AutoBackend {
  /// The engine with the least predicted time.
  public static var auto: AutoBackend { AutoBackend() }
}
