import ConvBackends
import ConvCore

extension FuzzedReader {
  /// JSON texts.
  static let json = FuzzedReader(name: "json") { bytes in
    let value = try JSONValue(parsing: bytes)
    demand(again("a value") { try JSONValue(parsing: text(value)) } == value, "another value: \(text(value))")
  }

  /// Plan files. Figures are written with six digits, so it is the second file that has to stay the same.
  static let plan = FuzzedReader(name: "plan") { bytes in
    let file = try ConvPlanFile(path: Scratch.file("plan.json", bytes))
    let first = again("a plan") { try ConvPlanFile(path: Scratch.written("plan.json", file.write)) }
    let second = again("a plan") { try ConvPlanFile(path: Scratch.written("plan.json", first.write)) }
    demand(first.hash == file.hash && second == first, "another plan")
    demand(first.machines.map(\.choices.count) == file.machines.map(\.choices.count), "choices are lost")
  }

  /// Calibrated profiles.
  static let profile = FuzzedReader(name: "profile") { bytes in
    let profile = try MachineProfile(path: Scratch.file("profile.json", bytes))
    let copy = again("a profile") { try MachineProfile(path: Scratch.written("profile.json", profile.write)) }
    demand(copy == profile, "another profile")
  }

  /// JSON of a value; real numbers as Swift writes them, which gives the same value back.
  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let flag): "\(flag)"
    case .integer(let number): "\(number)"
    case .real(let number): "\(number)"
    case .string(let text): JSONValue.quoted(text)
    case .array(let elements): "[\(elements.map(text).joined(separator: ", "))]"
    case .object(let members):
      "{\(members.map { "\(JSONValue.quoted($0.key)): \(text($0.value))" }.joined(separator: ", "))}"
    }
  }
}
