import ConvCore
import Synchronization

/// Tasks that a plan is cut into where its size allows it, so that small batches use all cores. Never a function of the threads.
let wantedTasks = 16

/// Calls `body(task, scratch)` for every task: up to `slots` workers, each with `slotBytes` of its own, claim tasks until
/// none is left. What a task computes must not depend on its worker.
func forEachTask(
  _ count: Int, slots: Int, slotBytes: Int, scratch: UnsafeMutableRawPointer?, pool: WorkerPool,
  _ body: (Int, UnsafeMutableRawPointer?) -> Void
) {
  let next = Atomic<Int>(0)
  pool.parallelFor(min(slots, count)) { slot in
    let own = scratch.map { $0 + slot * slotBytes }
    while true {
      let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
      if task >= count { return }
      body(task, own)
    }
  }
}

/// Bytes in whole cache lines.
func aligned(_ byteCount: Int) -> Int { byteCount > .max - 63 ? .max : (byteCount + 63) & ~63 }

/// Why the engine's own plan does not fit, for people.
struct Refusal: Error {
  var reason: String
}

/// Workers that have `slotBytes` each in what `limit` leaves, `threads` at most.
///
/// - Throws: `Refusal` where not one has.
func affordableSlots(_ slotBytes: Int, _ options: PlanOptions, limit: Int) throws -> Int {
  if slotBytes == 0 { return max(1, options.threads) }
  let slots = min(max(1, options.threads), max(0, limit) / slotBytes)
  guard slots >= 1 else {
    throw Refusal(
      reason: "direct needs \(slotBytes) bytes of workspace per worker, the limit leaves \(max(0, limit))")
  }
  return slots
}

extension ConvPlan {
  /// Throws where the workspace is smaller than declared or a bias is missing.
  func checkOperands(_ operands: ConvOperands, _ workspace: UnsafeMutableRawBufferPointer) throws {
    guard workspace.count >= workspaceBytes else {
      throw ConvError.workspaceTooSmall(needed: workspaceBytes, found: workspace.count)
    }
    if operation.epilogue.bias && operands.bias == nil {
      throw ConvError.operand("no bias was given for \(operation)")
    }
  }

  /// `count` elements in the plan's own form, written by `pack`.
  ///
  /// - Throws: `ConvError.operand` for backwardFilter, which reads no filter; `MemoryError`.
  func preparedFilter<T: BitwiseCopyable>(
    count: Int, _ pack: (UnsafeMutablePointer<T>) -> Void
  ) throws -> PreparedFilter {
    if operation.pass == .backwardFilter {
      throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
    }
    let buffer = try PooledBuffer(count: count, of: T.self)
    pack(buffer.baseAddress.bindMemory(to: T.self, capacity: count))
    return PreparedFilter(signature: signature, buffers: [buffer])
  }
}
