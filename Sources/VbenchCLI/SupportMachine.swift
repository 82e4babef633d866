import ConvCore
import Foundation

/// What is known about the machine and the build.
struct MachineDescription {
  let cpu: String
  /// The processors that this process may use.
  let processors = Processors.current
  let physicalCores: Int?
  let caches: [String]
  let memory: String
  let system: String
  let swift: String
  let configuration: String
  let commit: String?

  /// The machine that this runs on.
  init() {
    let cpuInfo = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let fields = cpuInfo.split(separator: "\n").map { line in
      line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
    }
    func values(_ key: String) -> [String] { fields.filter { $0.count == 2 && $0[0] == key }.map { $0[1] } }
    cpu = ProcessorModel.current.name
    let cores = zip(values("physical id"), values("core id")).map { "\($0)/\($1)" }
    physicalCores = cores.isEmpty ? nil : Set(cores).count
    caches = (0..<8).compactMap { index in
      func read(_ name: String) -> String? {
        let path = "/sys/devices/system/cpu/cpu0/cache/index\(index)/\(name)"
        return (try? String(contentsOfFile: path, encoding: .utf8))?
          .trimmingCharacters(in: .whitespacesAndNewlines)
      }
      guard let level = read("level"), let type = read("type"), let size = read("size") else { return nil }
      let kind = type == "Data" ? "d" : type == "Instruction" ? "i" : ""
      return "L\(level)\(kind) \(size)"
    }
    let gibibytes = String(format: "%.1f GiB", Double(ProcessInfo.processInfo.physicalMemory) / 0x1p30)
    let allowance = MemoryAllowance.current
    memory =
      allowance.source == .physical ? gibibytes : "\(gibibytes), of which this process may have \(allowance)"
    let release = (try? String(contentsOfFile: "/etc/os-release", encoding: .utf8)) ?? ""
    let name = release.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
      .map { $0.dropFirst("PRETTY_NAME=".count).trimmingCharacters(in: CharacterSet(charactersIn: "\"")) }
    var uname = utsname()
    Foundation.uname(&uname)
    func text<T>(_ field: T) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    system = "\(name ?? text(uname.sysname)), kernel \(text(uname.release)), \(text(uname.machine))"
    swift = Self.swiftVersion
    #if DEBUG
      configuration = "debug (numerical code optimised, times are not to be trusted)"
    #else
      configuration = "release"
    #endif
    commit = Self.commit()
  }

  /// As in `2 cores, 1 thread available (CPU 0)`.
  var threadsText: String {
    let cores = physicalCores.map { "\($0) core\($0 == 1 ? "" : "s"), " } ?? ""
    return "\(cores)\(processors.count) thread\(processors.count == 1 ? "" : "s") available (\(processors))"
  }

  private static var swiftVersion: String {
    #if compiler(>=6.4)
      return "6.4 or later"
    #elseif compiler(>=6.3)
      return "6.3"
    #elseif compiler(>=6.2)
      return "6.2"
    #else
      return "6.1"
    #endif
  }

  /// The commit of the checkout that the executable lies in, with `+` where files have been changed.
  private static func commit() -> String? {
    let folder = Executable.folder.path
    guard FileManager.default.fileExists(atPath: folder) else { return nil }
    guard let commit = git(["-C", folder, "rev-parse", "--short=12", "HEAD"]) else { return nil }
    let changes = git(["-C", folder, "status", "--porcelain", "--untracked-files=no"])
    return commit + (changes.map { $0.isEmpty ? "" : "+" } ?? "")
  }

  private static func git(_ arguments: [String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["git"] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { return nil }
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
