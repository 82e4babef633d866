import Foundation

/// What a measured time belongs to: a CPU model, the instruction set of the kernels, a number of threads.
public struct MachineIdentity: Hashable, Sendable, CustomStringConvertible {
  /// The CPU's name as the system gives it, as in `AMD EPYC 7763 64-Core Processor`.
  public var cpu: String
  /// The instruction set that kernels run on.
  public var instructionSet: InstructionSet
  /// Threads of the pool.
  public var threads: Int

  /// An identity from its parts.
  public init(cpu: String, instructionSet: InstructionSet, threads: Int) {
    self.cpu = cpu
    self.instructionSet = instructionSet
    self.threads = threads
  }

  /// This machine with so many threads.
  public static func current(threads: Int = WorkerPool.shared.threads) -> MachineIdentity {
    MachineIdentity(cpu: cpuName, instructionSet: .current, threads: threads)
  }

  /// This machine's CPU; `unknown` where the system does not say.
  public static let cpuName: String = {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      if parts.count == 2, ["model name", "CPU implementer"].contains(parts[0]), !parts[1].isEmpty {
        return parts[0] == "model name" ? parts[1] : "implementer \(parts[1])"
      }
    }
    return "unknown"
  }()

  /// As in `AMD EPYC, avx2, 2 threads`.
  public var description: String {
    "\(cpu), \(instructionSet), \(threads) thread\(threads == 1 ? "" : "s")"
  }
}
