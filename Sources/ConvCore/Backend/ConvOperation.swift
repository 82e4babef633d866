/// What follows the convolution while its result is still in registers or cache.
///
/// Forward: y = maxPool(relu(x ∗ w + bias + y₀)), each part optional. Backward passes: `accumulate` adds to the result that
/// is there (β = 1); `biasGradient` (backwardFilter) also yields db[k] = Σ dy[n,k,p,q]. The core lowers what an engine lacks.
public struct Epilogue: Hashable, Sendable {
  /// Adds bias[k] (forward).
  public var bias: Bool
  /// max(0, ·) (forward).
  public var relu: Bool
  /// Adds to what the result holds instead of overwriting it.
  public var accumulate: Bool
  /// 2×2 max pooling with stride 2 (forward, 2-D): the output is [N, K, ⌊P/2⌋, ⌊Q/2⌋], and `argmax` (one byte each)
  /// receives the winner's row-major place in its window, 0...3; ties take the first.
  public var maxPool2x2: Bool
  /// Also computes the bias gradient (backwardFilter).
  public var biasGradient: Bool

  /// Nothing but what is named.
  public init(
    bias: Bool = false, relu: Bool = false, accumulate: Bool = false, maxPool2x2: Bool = false,
    biasGradient: Bool = false
  ) {
    self.bias = bias
    self.relu = relu
    self.accumulate = accumulate
    self.maxPool2x2 = maxPool2x2
    self.biasGradient = biasGradient
  }

  /// The plain convolution.
  public static let none = Epilogue()
  /// Whether anything is asked for.
  public var isEmpty: Bool { self == .none }

  /// The parts asked for, as in "bias+relu".
  var text: String {
    [(bias, "bias"), (relu, "relu"), (accumulate, "accumulate"), (maxPool2x2, "pool"), (biasGradient, "db")]
      .filter(\.0).map(\.1).joined(separator: "+")
  }
}

/// Everything that a plan depends on.
public struct ConvOperation: Hashable, Sendable {
  /// Forward, backwardData or backwardFilter.
  public var pass: ConvPass
  /// The shapes.
  public var problem: ConvProblem
  /// Type of all operands: `.float32` or `.float64`.
  public var elementType: ElementType
  /// Physical order of x and dx.
  public var inputFormat: MemoryFormat
  /// Physical order of y and dy.
  public var outputFormat: MemoryFormat
  /// Physical order of w and dw.
  public var filterFormat: MemoryFormat
  /// What follows the convolution.
  public var epilogue: Epilogue

  /// An operation in float32, NCHW and KCRS, without epilogue, unless said otherwise.
  public init(
    _ pass: ConvPass, _ problem: ConvProblem, elementType: ElementType = .float32,
    inputFormat: MemoryFormat = .nchw, outputFormat: MemoryFormat = .nchw,
    filterFormat: MemoryFormat = .nchw, epilogue: Epilogue = .none
  ) {
    self.pass = pass
    self.problem = problem
    self.elementType = elementType
    self.inputFormat = inputFormat
    self.outputFormat = outputFormat
    self.filterFormat = filterFormat
    self.epilogue = epilogue
  }

  /// Whether all three tensors are in the logical order.
  public var isCanonicalFormat: Bool {
    inputFormat == .nchw && outputFormat == .nchw && filterFormat == .nchw
  }

  /// Logical shape of y (after pooling, where the epilogue pools).
  public var outputShape: [Int] {
    var shape = problem.outputShape
    if epilogue.maxPool2x2 {
      shape[2] /= 2
      shape[3] /= 2
    }
    return shape
  }

  /// Why the operation makes no sense, or nil.
  public var contradiction: String? {
    if elementType != .float32 && elementType != .float64 {
      return "convolutions compute in float32 or float64, not \(elementType.rawValue)"
    }
    if pass != .forward && (epilogue.bias || epilogue.relu || epilogue.maxPool2x2) {
      return "bias, relu and pooling follow the forward pass only"
    }
    if epilogue.biasGradient && pass != .backwardFilter {
      return "the bias gradient belongs to backward-filter"
    }
    if epilogue.maxPool2x2 {
      if problem.spatialRank != 2 { return "pooling follows 2-D convolutions only" }
      if epilogue.accumulate { return "accumulate and pooling exclude each other" }
      if problem.output.h < 2 || problem.output.w < 2 {
        return "2×2 pooling of a \(problem.output.h)×\(problem.output.w) output would be empty"
      }
    }
    return nil
  }
}

extension ConvOperation: CustomStringConvertible {
  public var description: String {
    var text = "\(pass.rawValue) \(problem)"
    if elementType != .float32 { text += " \(elementType.rawValue)" }
    if !isCanonicalFormat {
      text += " [in \(inputFormat.rawValue), out \(outputFormat.rawValue), filter \(filterFormat.rawValue)]"
    }
    if !epilogue.isEmpty { text += " +\(epilogue.text)" }
    return text
  }
}

/// Whether each execution transforms the filter anew or uses a prepared one.
public enum FilterState: String, Sendable, Hashable, CaseIterable {
  /// The filter is given in the network's format at each execution (training).
  case fresh
  /// The filter was prepared once (inference).
  case prepared
}

/// How a plan is to be made. Like the operation, part of what support and plan see.
public struct PlanOptions: Hashable, Sendable {
  /// Threads that will execute the plan.
  public var threads: Int
  /// Bytes of workspace that a plan may ask for beyond transformed filters; engines obey or decline.
  public var workspaceLimit: Int
  /// Whether executions are given fresh filters or prepared ones.
  public var filterState: FilterState
  /// One variant of an engine, in its own words (`tile=4x4`); nil leaves the choice to the engine.
  public var variant: String?
  /// Largest tolerable error relative to the result's rms; engines choose variants by it.
  public var maxError: Double?

  /// A limit that no workspace reaches.
  package static let unlimitedWorkspace = 1 << 60

  /// Defaults: as many threads as the process's pool has, 64 MiB, fresh filters.
  public init(
    threads: Int = WorkerPool.shared.threads, workspaceLimit: Int = 64 << 20,
    filterState: FilterState = .fresh, variant: String? = nil, maxError: Double? = nil
  ) {
    self.threads = threads
    self.workspaceLimit = workspaceLimit
    self.filterState = filterState
    self.variant = variant
    self.maxError = maxError
  }
}

/// An engine's answer to "can you?". `.supported` is a promise of a right answer.
public enum Support: Hashable, Sendable {
  case supported
  /// With a reason that a user can act on.
  case unsupported(String)

  /// Whether it is `.supported`.
  public var isSupported: Bool { self == .supported }
  /// The reason for declining.
  public var reason: String? {
    if case .unsupported(let reason) = self { return reason }
    return nil
  }
}
