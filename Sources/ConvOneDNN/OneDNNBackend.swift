#if OneDNN
  public import ConvCore

  /// Intel's oneDNN (Debian's libdnnl) in our own process: a peer to be measured against under equal conditions.
  ///
  /// All passes, 1-D to 3-D, any stride, dilation, padding and groups, float32; tensors in NCHW and NHWC in any mixture, which
  /// oneDNN reorders to its own blocked layouts (phases "reorder …") where those are faster; bias in the kernel, ReLU behind it
  /// (oneDNN's would swallow NaNs), the bias gradient beside the filter's. Batches whose reordered images exceed the
  /// workspace limit are computed in pieces. Variants: `algorithm=direct`, `algorithm=winograd` (AVX-512 only), `algorithm=auto` (oneDNN's choice, the default).
  ///
  /// oneDNN runs on OpenMP threads of its own, as many as `PlanOptions.threads` says, and cuts sums by their number: results are
  /// not promised to have the same bits for another number of threads.
  public struct OneDNNBackend: ConvolutionBackend {
    /// The engine.
    public init() {}

    /// `onednn`.
    public var name: String { "onednn" }
    /// NCHW and NHWC.
    public var nativeFormats: [MemoryFormat] { [.nchw, .nhwc] }
    /// All three.
    public var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }
    /// OpenMP's threads.
    public var threading: BackendThreading { .ownThreads }
    /// Ends OpenMP's threads; they are made again when they are needed.
    public func restThreads() { OneDNNLibrary.restThreads() }
    /// Makes OpenMP's threads.
    public func wakeThreads(_ count: Int) { OneDNNLibrary.wakeThreads(count) }

    /// Version of the library, its threading runtime and the instruction set that it may use.
    public static var libraryVersion: String { OneDNNLibrary.version }
    /// The most that the library may use on this CPU, as in `AVX-512 BF16`.
    public static var libraryInstructions: String { OneDNNLibrary.instructionSet }
    /// The level of `libraryInstructions`.
    public static var libraryLevel: VectorLevel { OneDNNLibrary.level }

    /// Declines float64, pooling, accumulation, unknown variants, workspace limits that one image exceeds, and
    /// `algorithm=winograd` where oneDNN has none.
    public func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
      do {
        _ = try OneDNNChunk.choose(operation, options)
        return .supported
      } catch let refusal as OneDNNRefusal {
        return .unsupported(refusal.reason)
      } catch {
        return .unsupported("\(error)")
      }
    }

    /// y = relu(x ∗ w + bias).
    ///
    /// - Throws: `ConvError.unsupported` with the reason.
    public func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try makePlan(operation, options)
    }

    /// dx from dy and w.
    ///
    /// - Throws: `ConvError.unsupported` with the reason.
    public func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      try makePlan(operation, options)
    }

    /// dw, and db where it is asked for, from x and dy.
    ///
    /// - Throws: `ConvError.unsupported` with the reason.
    public func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan
    {
      try makePlan(operation, options)
    }

    private func makePlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
      do {
        return try OneDNNPlan(operation, OneDNNChunk.choose(operation, options))
      } catch let refusal as OneDNNRefusal {
        throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: refusal.reason)
      } catch let error as OneDNNError {
        throw ConvError.unsupported(backend: name, operation: "\(operation)", reason: "\(error)")
      }
    }
  }

  extension ConvolutionBackend where Self == OneDNNBackend {
    /// Intel's oneDNN.
    public static var onednn: OneDNNBackend { OneDNNBackend() }
  }
#endif
