import ConvCore
import Foundation

extension ConvPlanFile {
  /// Largest file that is read: 64 MiB.
  private static let largestByteCount = 64 << 20

  /// Reads a file.
  ///
  /// - Throws: `FileError`: not there, too large, malformed, with the place.
  public init(path: String) throws {
    self = try JSONFile.read(path, limit: ConvPlanFile.largestByteCount) { try ConvPlanFile(json: $0) }
  }

  /// Writes the file, whole or not at all.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`.
  public func write(to path: String) throws { try AtomicFile.write(json, to: path) }

  private typealias Malformed = JSONFile.ContentError

  private init(json: JSONValue) throws {
    guard let root = json.object else { throw Malformed("a plan file is a JSON object") }
    guard let format = root["format"]?.string, format == ConvPlanFile.format else {
      if root["format"]?.string == "vbench-plan-1" {
        throw Malformed(
          "a plan of the format vbench-plan-1 does not say which stepping of the processor it is for: "
            + "tune again, into another file")
      }
      let found = root["format"]?.string.map { "'\($0)'" } ?? "nothing"
      throw Malformed("'format' is '\(ConvPlanFile.format)' in a plan file, found \(found)")
    }
    guard let machines = root["machines"]?.array else { throw Malformed("'machines' is no array") }
    var plans: [MachinePlan] = []
    for (index, machine) in machines.enumerated() {
      let plan = try ConvPlanFile.machinePlan(machine, "machines[\(index)]")
      guard !plans.contains(where: { $0.machine == plan.machine }) else {
        throw Malformed("machines[\(index)]: \(plan.machine) appears twice")
      }
      plans.append(plan)
    }
    self.init(machines: plans)
  }

  private static func machinePlan(_ json: JSONValue, _ place: String) throws -> MachinePlan {
    guard let fields = json.object else { throw Malformed("\(place) is no object") }
    func text(_ name: String) throws -> String {
      guard let text = fields[name]?.string else { throw Malformed("\(place).\(name) is no string") }
      return text
    }
    // null where the system does not say.
    func optional<T>(_ name: String, _ what: String, _ read: (JSONValue) -> T?) throws -> T? {
      guard let json = fields[name] else { throw Malformed("\(place).\(name) is missing") }
      if json == .null { return nil }
      guard let value = read(json) else { throw Malformed("\(place).\(name) is neither null nor \(what)") }
      return value
    }
    let processor = ProcessorModel(
      name: try text("cpu"), vendor: try text("vendor"),
      family: try optional("family", "an integer", \.integer),
      model: try optional("model", "an integer", \.integer),
      stepping: try optional("stepping", "an integer", \.integer))
    let set = try value(fields, "instruction_set", place, as: InstructionSet.self)
    guard let threads = fields["threads"]?.integer, threads >= 1 else {
      throw Malformed("\(place).threads is no positive integer")
    }
    guard let limit = fields["workspace_limit_bytes"]?.integer, limit >= 0 else {
      throw Malformed("\(place).workspace_limit_bytes is no size")
    }
    let conditions = Conditions(
      maxError: try optional("max_error", "a positive number") { json in
        json.number.flatMap { $0 > 0 ? $0 : nil }
      },
      workspaceLimit: limit, cacheState: try text("cache_state"),
      openBLASCore: try optional("openblas_core", "a string", \.string))
    var plan = MachinePlan(
      machine: MachineIdentity(processor: processor, instructionSet: set, threads: threads),
      conditions: conditions)
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

  /// Differs for files that say something else: `TextHash` of the text that `write(to:)` writes.
  public var hash: String { TextHash.digits(of: json) }

  /// One choice per line, in the order of problems, passes, formats and states: two files can be compared line by line.
  private var json: String {
    let quoted = JSONValue.quoted
    func number(_ value: Double) -> String { String(format: "%.6g", value) }
    func integer(_ value: Int?) -> String { value.map { "\($0)" } ?? "null" }
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
      let (processor, conditions) = (plan.machine.processor, plan.conditions)
      let entries = plan.choices.sorted { order($0.key).lexicographicallyPrecedes(order($1.key)) }
      return """
            {
              "cpu": \(quoted(processor.name)),
              "vendor": \(quoted(processor.vendor)),
              "family": \(integer(processor.family)),
              "model": \(integer(processor.model)),
              "stepping": \(integer(processor.stepping)),
              "instruction_set": \(quoted(plan.machine.instructionSet.rawValue)),
              "threads": \(plan.machine.threads),
              "openblas_core": \(conditions.openBLASCore.map(quoted) ?? "null"),
              "cache_state": \(quoted(conditions.cacheState)),
              "max_error": \(conditions.maxError.map(number) ?? "null"),
              "workspace_limit_bytes": \(conditions.workspaceLimit),
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
