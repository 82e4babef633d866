/// What a measured time belongs to: a processor, the instruction set of the kernels, a number of threads.
public struct MachineIdentity: Hashable, Sendable, CustomStringConvertible {
  /// The processor, down to its stepping.
  public var processor: ProcessorModel
  /// The instruction set that kernels run on.
  public var instructionSet: InstructionSet
  /// Threads of the pool.
  public var threads: Int

  /// An identity from its parts.
  public init(processor: ProcessorModel, instructionSet: InstructionSet, threads: Int) {
    self.processor = processor
    self.instructionSet = instructionSet
    self.threads = threads
  }

  /// This machine with so many threads.
  public static func current(threads: Int = WorkerPool.shared.threads) -> MachineIdentity {
    MachineIdentity(processor: .current, instructionSet: .current, threads: threads)
  }

  /// As in `AMD EPYC (family 25, model 1, stepping 1), avx2, 2 threads`.
  public var description: String {
    "\(processor), \(instructionSet), \(threads) thread\(threads == 1 ? "" : "s")"
  }
}
