#if OneDNN
  internal import CDNNL
  import ConvCore
  import Synchronization

  /// What oneDNN answered where it did not do what was asked.
  struct OneDNNError: Error, CustomStringConvertible {
    /// The call, in words.
    let what: String
    /// `dnnl_status_t`.
    let status: UInt32

    /// As in "oneDNN could not create a reorder: unimplemented".
    var description: String { "oneDNN could not \(what): \(OneDNNError.name(status))" }

    private static func name(_ status: UInt32) -> String {
      switch status {
      case dnnl_out_of_memory.rawValue: "out of memory"
      case dnnl_invalid_arguments.rawValue: "invalid arguments"
      case dnnl_unimplemented.rawValue: "unimplemented"
      case dnnl_runtime_error.rawValue: "runtime error"
      default: "status \(status)"
      }
    }

    /// - Throws: `OneDNNError` where `status` is not success, `MemoryError.refused` where memory is the cause.
    static func check(_ status: dnnl_status_t, _ what: @autoclosure () -> String) throws {
      if status == dnnl_out_of_memory { throw MemoryError.refused(library: "oneDNN", what: what()) }
      if status != dnnl_success { throw OneDNNError(what: what(), status: status.rawValue) }
    }
  }

  /// The library as this process has it: one CPU engine, and OpenMP's threads.
  enum OneDNNLibrary {
    private struct Handle: @unchecked Sendable { let engine: dnnl_engine_t? }

    private static let shared: Handle = {
      var engine: dnnl_engine_t?
      let status = dnnl_engine_create(&engine, dnnl_cpu, 0)
      return Handle(engine: status == dnnl_success ? engine : nil)
    }()

    /// The CPU engine.
    ///
    /// - Throws: `OneDNNError` where the library has none.
    static func engine() throws -> dnnl_engine_t {
      guard let engine = shared.engine else {
        throw OneDNNError(what: "create a CPU engine", status: dnnl_runtime_error.rawValue)
      }
      return engine
    }

    /// As in `2.6.3, OpenMP, up to AVX2`, and that its bits are not promised.
    static var version: String {
      guard let version = dnnl_version()?.pointee else { return "unknown" }
      let runtime =
        switch version.cpu_runtime {
        case UInt32(DNNL_RUNTIME_OMP): "OpenMP"
        case UInt32(DNNL_RUNTIME_TBB): "TBB"
        case UInt32(DNNL_RUNTIME_SEQ): "sequential"
        default: "runtime \(version.cpu_runtime)"
        }
      return "\(version.major).\(version.minor).\(version.patch), \(runtime), up to \(instructionSet), "
        + "own threads: bits may depend on their number"
    }

    /// The most that it may use on this CPU, as in `AVX-512 BF16`.
    static var instructionSet: String {
      switch dnnl_get_effective_cpu_isa() {
      case dnnl_cpu_isa_sse41: "SSE4.1"
      case dnnl_cpu_isa_avx: "AVX"
      case dnnl_cpu_isa_avx2: "AVX2"
      case dnnl_cpu_isa_avx2_vnni: "AVX2 VNNI"
      case dnnl_cpu_isa_avx512_core: "AVX-512"
      case dnnl_cpu_isa_avx512_core_vnni: "AVX-512 VNNI"
      case dnnl_cpu_isa_avx512_core_bf16: "AVX-512 BF16"
      case dnnl_cpu_isa_avx512_core_amx: "AVX-512 AMX"
      default: "instruction set \(dnnl_get_effective_cpu_isa().rawValue)"
      }
    }

    /// The level of the most that it may use on this CPU.
    static var level: VectorLevel { level(dnnl_get_effective_cpu_isa().rawValue) }

    /// The level of `dnnl_cpu_isa_t`, of which each value has the bits of those that it includes.
    static func level(_ isa: UInt32) -> VectorLevel {
      func includes(_ other: dnnl_cpu_isa_t) -> Bool { isa & other.rawValue == other.rawValue }
      if includes(dnnl_cpu_isa_avx512_core) { return .avx512 }
      if includes(dnnl_cpu_isa_avx2) { return .avx2 }
      return includes(dnnl_cpu_isa_avx) ? .avx : .base
    }

    /// Whether this CPU, and the library's own limit, allow AVX-512.
    static var hasAVX512: Bool {
      level == .avx512
    }

    /// OpenMP threads that a call of this thread would use.
    static var threads: Int { Int(omp_get_max_threads()) }

    /// Ends the threads of the calling thread's team, which would poll for milliseconds.
    static func restThreads() { _ = gate.withLock { _ in omp_pause_resource_all(1) } }

    /// A parallel region in which nothing happens.
    static func wakeThreads(_ count: Int) {
      let threads = UInt32(clamping: min(max(count, 1), WorkerPool.maximumThreads))
      gate.withLock { _ in GOMP_parallel({ _ in }, nil, threads, 0) }
    }

    private static let gate = Mutex<Void>(())

    /// Runs `body` with OpenMP set to `threads` for the calling thread. oneDNN cuts its work by that number when a
    /// primitive is made and again when it is executed: both belong in here.
    static func planning<R>(threads: Int, _ body: () throws -> R) rethrows -> R {
      // OpenMP keeps the number per calling thread.
      let before = omp_get_max_threads()
      omp_set_num_threads(Int32(clamping: min(max(threads, 1), WorkerPool.maximumThreads)))
      defer { omp_set_num_threads(before) }
      return try body()
    }

    /// The same for executions. Each calling thread has OpenMP threads of its own: those of several callers never
    /// run at the same time.
    static func executing(threads: Int, _ body: () throws -> Void) throws {
      if threads <= 1 { return try planning(threads: threads, body) }
      try gate.withLock { _ in try planning(threads: threads, body) }
    }
  }
#endif
