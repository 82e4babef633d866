public import ConvCore
import Foundation

/// Measured choices of engines, by machine and operation, in a JSON file: `vbench tune` writes it, `auto` follows it.
///
/// ```swift
/// let file = try ConvPlanFile(path: "plan.json")
/// let auto = try AutoBackend(following: file.plan(for: .current()))
/// ```
/// A file may hold the choices of several machines; those of another processor (down to its stepping), instruction set or thread count
/// are never used. What of a file is not used, and why, says `coverage(of:on:openBLASCore:)`.
public struct ConvPlanFile: Sendable, Hashable {
  /// The operation that a choice is for: everything that its time depends on, except what follows the convolution.
  public struct Key: Hashable, Sendable {
    public var problem: ConvProblem
    public var pass: ConvPass
    /// Of input and output; filters are in the network's own format.
    public var format: MemoryFormat
    public var filterState: FilterState

    /// A key from its parts.
    public init(_ problem: ConvProblem, _ pass: ConvPass, _ format: MemoryFormat, _ filterState: FilterState)
    {
      self.problem = problem
      self.pass = pass
      self.format = format
      self.filterState = filterState
    }

    /// The key of an operation, whatever follows its convolution; nil for those that are never tuned (two formats, an element type other than float32).
    public init?(_ operation: ConvOperation, _ filterState: FilterState) {
      guard operation.inputFormat == operation.outputFormat, operation.elementType == .float32 else {
        return nil
      }
      // Backward filter reads no filter: there is one state.
      self.init(
        operation.problem, operation.pass, operation.inputFormat,
        operation.pass == .backwardFilter ? .fresh : filterState)
    }
  }

  /// What was found best.
  public struct Choice: Hashable, Sendable {
    /// As `BackendRegistry.named` reads it: `winograd[tile=4x4]`. Never `auto`, which is no engine but chooses one.
    public var backend: String
    /// Median of the measured times.
    public var medianMilliseconds: Double
    /// Largest error found, relative to the results' rms.
    public var relativeError: Double

    /// A choice from its parts.
    public init(backend: String, medianMilliseconds: Double, relativeError: Double) {
      self.backend = backend
      self.medianMilliseconds = medianMilliseconds
      self.relativeError = relativeError
    }
  }

  /// What choices were made under, besides the machine.
  public struct Conditions: Hashable, Sendable {
    /// Largest tolerated error relative to the results' rms; nil: none was stated.
    public var maxError: Double?
    /// Bytes of workspace that were allowed.
    public var workspaceLimit: Int
    /// What the caches held before each sample, as `vbench run --cache` calls it: `warm`.
    public var cacheState: String
    /// The core that OpenBLAS ran, which decides how fast `im2col` is; nil in a build without OpenBLAS.
    public var openBLASCore: String?

    /// Conditions from their parts.
    public init(
      maxError: Double? = nil, workspaceLimit: Int = PlanOptions().workspaceLimit,
      cacheState: String = "warm",
      openBLASCore: String? = nil
    ) {
      self.maxError = maxError
      self.workspaceLimit = workspaceLimit
      self.cacheState = cacheState
      self.openBLASCore = openBLASCore
    }
  }

  /// The choices of one machine.
  public struct MachinePlan: Hashable, Sendable {
    public var machine: MachineIdentity
    public var conditions: Conditions
    public var choices: [Key: Choice]

    /// A plan from its parts.
    public init(
      machine: MachineIdentity, conditions: Conditions = Conditions(), choices: [Key: Choice] = [:]
    ) {
      self.machine = machine
      self.conditions = conditions
      self.choices = choices
    }
  }

  /// The file's `format`. Files of `vbench-plan-1`, which do not say the processor's stepping, are refused: what they hold may be
  /// another machine's.
  public static let format = "vbench-plan-2"
  /// In the order of the file.
  public private(set) var machines: [MachinePlan]

  /// A file with the choices of some machines.
  public init(machines: [MachinePlan] = []) { self.machines = machines }

  /// The choices for a machine.
  ///
  /// - Throws: `ConvError.unknownName` with the machines that the file is for.
  public func plan(for machine: MachineIdentity) throws -> MachinePlan {
    try plans(for: machine, threads: [machine.threads])[0]
  }

  /// The choices for a machine with so many threads, one plan per number that the file has; `machine.threads` is of no account.
  ///
  /// - Throws: `ConvError.unknownName` with the machines that the file is for, where it has none of them.
  public func plans(for machine: MachineIdentity, threads: [Int]) throws -> [MachinePlan] {
    let plans = machines.filter { $0.machine.matches(machine) && threads.contains($0.machine.threads) }
    if !plans.isEmpty { return plans }
    var wanted = machine
    let names = threads.map { count in
      wanted.threads = count
      return "\(wanted)"
    }
    throw ConvError.unknownName(
      kind: "machine in the plan file", name: names.joined(separator: " or "),
      known: machines.map { "\($0.machine)" })
  }

  /// The numbers of threads that the file has choices for on a machine, ascending.
  public func threadCounts(on machine: MachineIdentity) -> [Int] {
    machines.filter { $0.machine.matches(machine) }.map(\.machine.threads).sorted()
  }

  /// Adds a machine's choices. Made under the same conditions those for other operations stay; under others they would not hold.
  public mutating func merge(_ plan: MachinePlan) {
    guard let index = machines.firstIndex(where: { $0.machine == plan.machine }) else {
      machines.append(plan)
      return
    }
    let old = machines[index]
    machines[index] = plan
    if old.conditions == plan.conditions {
      machines[index].choices.merge(old.choices) { new, _ in new }
    }
  }
}

extension MachineIdentity {
  /// Whether it is the same processor, down to the stepping, with the same instruction set.
  func matches(_ other: MachineIdentity) -> Bool {
    processor == other.processor && instructionSet == other.instructionSet
  }
}
