public import ConvCore
import Foundation

/// Measured choices of engines, by machine and operation, in a JSON file: `vbench tune` writes it, `auto` follows it.
///
/// ```swift
/// let file = try ConvPlanFile(path: "plan.json")
/// let auto = try AutoBackend(following: file.plan(for: .current()))
/// ```
/// A file may hold the choices of several machines; those of another CPU, instruction set or thread count are never used.
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

    /// The key of an operation; nil for those that are never tuned (two formats, an element type other than float32).
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
    /// As `BackendRegistry.named` reads it: `winograd[tile=4x4]`.
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

  /// The choices of one machine.
  public struct MachinePlan: Hashable, Sendable {
    public var machine: MachineIdentity
    /// Largest tolerated error relative to the results' rms; nil: none was stated.
    public var maxError: Double?
    /// Bytes of workspace that were allowed.
    public var workspaceLimit: Int
    public var choices: [Key: Choice]

    /// A plan from its parts.
    public init(
      machine: MachineIdentity, maxError: Double?, workspaceLimit: Int, choices: [Key: Choice] = [:]
    ) {
      self.machine = machine
      self.maxError = maxError
      self.workspaceLimit = workspaceLimit
      self.choices = choices
    }
  }

  /// The file's `format`.
  public static let format = "vbench-plan-1"
  /// In the order of the file.
  public private(set) var machines: [MachinePlan]

  /// A file with the choices of some machines.
  public init(machines: [MachinePlan] = []) { self.machines = machines }

  /// The choices for a machine.
  ///
  /// - Throws: `ConvError.unknownName` with the machines that the file is for.
  public func plan(for machine: MachineIdentity) throws -> MachinePlan {
    if let plan = machines.first(where: { $0.machine == machine }) { return plan }
    throw ConvError.unknownName(
      kind: "machine in the plan file", name: "\(machine)", known: machines.map { "\($0.machine)" })
  }

  /// Adds a machine's choices. Under the same limits those for other operations stay; under other limits they would not hold.
  public mutating func merge(_ plan: MachinePlan) {
    guard let index = machines.firstIndex(where: { $0.machine == plan.machine }) else {
      machines.append(plan)
      return
    }
    let old = machines[index]
    machines[index] = plan
    if old.maxError == plan.maxError && old.workspaceLimit == plan.workspaceLimit {
      machines[index].choices.merge(old.choices) { new, _ in new }
    }
  }
}

// MARK: - The file

extension ConvPlanFile {
  /// Largest file that is read: 64 MiB.
  private static let largestByteCount = 64 << 20

  /// Reads a file.
  ///
  /// - Throws: `FileError`: not there, too large, malformed, with the place.
  public init(path: String) throws {
    let bytes = try InputFile.bytes(of: path, limit: ConvPlanFile.largestByteCount)
    do {
      try self.init(json: JSONValue(parsing: bytes))
    } catch let error as JSONValue.SyntaxError {
      throw FileError.malformed(path: path, reason: "byte \(error.offset + 1): \(error.reason)")
    } catch let error as Malformed {
      throw FileError.malformed(path: path, reason: error.reason)
    }
  }

  /// Writes the file, whole or not at all.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`.
  public func write(to path: String) throws { try AtomicFile.write(json, to: path) }

  private struct Malformed: Error {
    var reason: String
    init(_ reason: String) { self.reason = reason }
  }

  private init(json: JSONValue) throws {
    guard let root = json.object else { throw Malformed("a plan file is a JSON object") }
    guard let format = root["format"]?.string, format == ConvPlanFile.format else {
      let found = root["format"]?.string.map { "'\($0)'" } ?? "nothing"
      throw Malformed("'format' is '\(ConvPlanFile.format)' in a plan file, found \(found)")
    }
    guard let machines = root["machines"]?.array else { throw Malformed("'machines' is no array") }
    self.machines = []
    for (index, machine) in machines.enumerated() {
      let plan = try ConvPlanFile.machinePlan(machine, "machines[\(index)]")
      guard !self.machines.contains(where: { $0.machine == plan.machine }) else {
        throw Malformed("machines[\(index)]: \(plan.machine) appears twice")
      }
      self.machines.append(plan)
    }
  }

  private static func machinePlan(_ json: JSONValue, _ place: String) throws -> MachinePlan {
    guard let fields = json.object else { throw Malformed("\(place) is no object") }
    guard let cpu = fields["cpu"]?.string else { throw Malformed("\(place).cpu is no string") }
    let set = try value(fields, "instruction_set", place, as: InstructionSet.self)
    guard let threads = fields["threads"]?.integer, threads >= 1 else {
      throw Malformed("\(place).threads is no positive integer")
    }
    guard let limit = fields["workspace_limit_bytes"]?.integer, limit >= 0 else {
      throw Malformed("\(place).workspace_limit_bytes is no size")
    }
    var maxError: Double?
    if let json = fields["max_error"], json != .null {
      guard let number = json.number, number > 0 else {
        throw Malformed("\(place).max_error is neither null nor a positive number")
      }
      maxError = number
    }
    var plan = MachinePlan(
      machine: MachineIdentity(cpu: cpu, instructionSet: set, threads: threads), maxError: maxError,
      workspaceLimit: limit)
    guard let choices = fields["choices"]?.array else { throw Malformed("\(place).choices is no array") }
    for (index, choice) in choices.enumerated() {
      let place = "\(place).choices[\(index)]"
      let (key, value) = try self.choice(choice, place)
      guard plan.choices.updateValue(value, forKey: key) == nil else {
        throw Malformed("\(place): a second choice for \(key.problem), \(key.pass.rawValue)")
      }
    }
    return plan
  }

  private static func choice(_ json: JSONValue, _ place: String) throws -> (Key, Choice) {
    guard let fields = json.object else { throw Malformed("\(place) is no object") }
    guard let text = fields["problem"]?.string else { throw Malformed("\(place).problem is no string") }
    let problem: ConvProblem
    do { problem = try ConvProblem(parsing: text) } catch { throw Malformed("\(place).problem: \(error)") }
    guard let backend = fields["backend"]?.string else { throw Malformed("\(place).backend is no string") }
    func figure(_ name: String) throws -> Double {
      guard let number = fields[name]?.number, number >= 0 else {
        throw Malformed("\(place).\(name) is no number of at least 0")
      }
      return number
    }
    let key = Key(
      problem, try value(fields, "pass", place, as: ConvPass.self),
      try value(fields, "format", place, as: MemoryFormat.self),
      try value(fields, "filter_state", place, as: FilterState.self))
    return (
      key,
      Choice(
        backend: backend, medianMilliseconds: try figure("median_ms"),
        relativeError: try figure("relative_error"))
    )
  }

  private static func value<T: RawRepresentable & CaseIterable>(
    _ fields: [String: JSONValue], _ name: String, _ place: String, as: T.Type
  ) throws -> T where T.RawValue == String {
    let text = fields[name]?.string
    guard let value = text.flatMap({ T(rawValue: $0) }) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw Malformed("\(place).\(name) is one of \(known), found \(text.map { "'\($0)'" } ?? "no string")")
    }
    return value
  }

  /// One choice per line, in the order of problems, passes, formats and states: two files can be compared line by line.
  private var json: String {
    let quoted = JSONValue.quoted
    func number(_ value: Double) -> String { String(format: "%.6g", value) }
    func choice(_ entry: (key: Key, value: Choice)) -> String {
      "{\"problem\": \(quoted(entry.key.problem.description)), \"pass\": \(quoted(entry.key.pass.rawValue)), "
        + "\"format\": \(quoted(entry.key.format.rawValue)), "
        + "\"filter_state\": \(quoted(entry.key.filterState.rawValue)), "
        + "\"backend\": \(quoted(entry.value.backend)), "
        + "\"median_ms\": \(number(entry.value.medianMilliseconds)), "
        + "\"relative_error\": \(number(entry.value.relativeError))}"
    }
    func order(_ key: Key) -> [String] {
      [key.problem.description, key.pass.rawValue, key.format.rawValue, key.filterState.rawValue]
    }
    let sections = machines.map { plan in
      let entries = plan.choices.sorted { order($0.key).lexicographicallyPrecedes(order($1.key)) }
      return """
            {
              "cpu": \(quoted(plan.machine.cpu)),
              "instruction_set": \(quoted(plan.machine.instructionSet.rawValue)),
              "threads": \(plan.machine.threads),
              "max_error": \(plan.maxError.map(number) ?? "null"),
              "workspace_limit_bytes": \(plan.workspaceLimit),
              "choices": [
        \(entries.map { "        " + choice($0) }.joined(separator: ",\n"))
              ]
            }
        """
    }
    return """
      {
        "format": "\(ConvPlanFile.format)",
        "machines": [
      \(sections.joined(separator: ",\n"))
        ]
      }

      """
  }
}
