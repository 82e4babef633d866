public import ConvCore
import Foundation

/// Where calibrated profiles are kept: one JSON file per machine in a folder, written whole or not at all.
public struct ProfileStore: Sendable, Hashable {
  /// The folder; it is made when the first profile is written.
  public let folder: String

  /// A store in that folder.
  public init(folder: String) { self.folder = folder }

  /// `vbench/profiles` in `XDG_CACHE_HOME`, else in `~/.cache` (XDG Base Directory Specification: relative values are ignored); nil
  /// where the environment names no home, or one whose name is not UTF-8 text.
  public static func standard(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> ProfileStore? {
    func absolute(_ name: String) -> String? {
      // What is no UTF-8 holds U+FFFD here, and would be another folder.
      environment[name].flatMap { $0.hasPrefix("/") && !$0.contains("\u{FFFD}") ? $0 : nil }
    }
    guard let cache = absolute("XDG_CACHE_HOME") ?? absolute("HOME").map({ $0 + "/.cache" }) else {
      return nil
    }
    return ProfileStore(folder: cache + "/vbench/profiles")
  }

  /// The file of a machine's profile.
  public func path(of machine: MachineProfile.Machine) -> String { "\(folder)/\(machine.slug).json" }

  /// The profile of a machine; nil where none is kept.
  ///
  /// - Throws: `FileError` where the file cannot be read, is no profile or is another machine's.
  public func profile(of machine: MachineProfile.Machine) throws -> MachineProfile? {
    let path = path(of: machine)
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let profile = try MachineProfile(path: path)
    guard profile.machine == machine else {
      throw FileError.malformed(
        path: path, reason: "it is the profile of \(profile.machine), not of \(machine)")
    }
    return profile
  }

  /// Keeps a profile.
  ///
  /// - Throws: `FileError` where the folder or the file cannot be written.
  public func keep(_ profile: MachineProfile) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw FileError.cannotCreate(path: folder, reason: (error as NSError).localizedDescription)
    }
    try profile.write(to: path(of: profile.machine))
  }
}

// MARK: - The file

extension MachineProfile {
  /// The file's `format`.
  public static let format = "vbench-profile-1"
  /// Largest file that is read: 1 MiB.
  private static let largestByteCount = 1 << 20

  /// Reads a profile.
  ///
  /// - Throws: `FileError`: not there, too large, malformed, with the place.
  public init(path: String) throws {
    self = try JSONFile.read(path, limit: MachineProfile.largestByteCount) { try MachineProfile(json: $0) }
  }

  /// Writes the profile, whole or not at all.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`.
  public func write(to path: String) throws { try AtomicFile.write(json, to: path) }

  private typealias Malformed = JSONFile.ContentError

  private init(json: JSONValue) throws {
    guard let root = json.object else { throw Malformed("a profile is a JSON object") }
    guard let format = root["format"]?.string, format == MachineProfile.format else {
      let found = root["format"]?.string.map { "'\($0)'" } ?? "nothing"
      throw Malformed("'format' is '\(MachineProfile.format)' in a profile, found \(found)")
    }
    func text(_ key: String) throws -> String {
      guard let text = root[key]?.string else { throw Malformed("'\(key)' is no string") }
      return text
    }
    func number(_ key: String) throws -> Int? {
      guard let json = root[key], json != .null else { return nil }
      guard let number = json.integer else { throw Malformed("'\(key)' is neither null nor a whole number") }
      return number
    }
    let processor = ProcessorModel(
      name: try text("cpu"), vendor: try text("vendor"), family: try number("family"),
      model: try number("model"), stepping: try number("stepping"))
    guard let set = InstructionSet(rawValue: try text("instruction_set")) else {
      let known = InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")
      throw Malformed("'instruction_set' is one of \(known), found '\(try text("instruction_set"))'")
    }
    let core = root["openblas_core"] ?? .null
    guard core == .null || core.string != nil else {
      throw Malformed("'openblas_core' is neither null nor a string")
    }
    guard let entries = root["nanoseconds"]?.object else { throw Malformed("'nanoseconds' is no object") }
    var prices = WorkPrices()
    for (name, value) in entries {
      guard let kind = ConvWork.Kind(name: name) else {
        throw Malformed("nanoseconds.\(name): no such kind of work")
      }
      guard let price = value.number, price >= 0, price.isFinite else {
        throw Malformed("nanoseconds.\(name) is no number of at least 0")
      }
      prices[kind] = price
    }
    // Profiles of other versions price other kinds of work: a kind that is missing would be free.
    if let missing = ConvWork.Kind.allCases.first(where: { entries[$0.name] == nil }) {
      throw Malformed("nanoseconds.\(missing.name) is missing: the profile was made by another version")
    }
    self.init(
      name: try text("name"),
      machine: Machine(
        processor: processor, instructionSet: set, libraryCore: core.string),
      prices: prices, origin: .calibrated(day: try text("day")))
  }

  private var json: String {
    let quoted = JSONValue.quoted
    func number(_ value: Int?) -> String { value.map(String.init) ?? "null" }
    let day = if case .calibrated(let day) = origin { day } else { "" }
    let lines = ConvWork.Kind.allCases.map { "    \(quoted($0.name)): \(prices[$0])" }
    return """
      {
        "format": "\(MachineProfile.format)",
        "name": \(quoted(name)),
        "day": \(quoted(day)),
        "cpu": \(quoted(machine.processor.name)),
        "vendor": \(quoted(machine.processor.vendor)),
        "family": \(number(machine.processor.family)),
        "model": \(number(machine.processor.model)),
        "stepping": \(number(machine.processor.stepping)),
        "instruction_set": \(quoted(machine.instructionSet.rawValue)),
        "openblas_core": \(machine.libraryCore.map(quoted) ?? "null"),
        "nanoseconds": {
      \(lines.joined(separator: ",\n"))
        }
      }

      """
  }
}
