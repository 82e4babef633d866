import Foundation

/// A disk in memory for one folder, whose size can be changed; only root may have one.
struct Disk {
  /// What nobody fills, in KiB.
  static let large = 1 << 17

  let folder: String

  /// Mounts it; nil where that is not possible.
  init?(at folder: String) {
    guard (try? Self.mount(["-t", "tmpfs", "-o", "size=\(Self.large)k", "tmpfs", folder])) == true else {
      return nil
    }
    self.folder = folder
  }

  /// Leaves so many KiB free.
  func leave(kibibytes: Int) throws {
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { throw Victim.Failure("\(folder) is no file system") }
    let used = Int(status.f_blocks - status.f_bfree) * Int(status.f_frsize) / 1024
    guard try Self.mount(["-o", "remount,size=\(used + kibibytes)k", folder]) else {
      throw Victim.Failure("\(folder) does not take the size \(used + kibibytes) KiB")
    }
  }

  /// Takes it away, with all that is in it.
  func unmount() { _ = try? Self.run("umount", ["--lazy", folder]) }

  private static func mount(_ arguments: [String]) throws -> Bool { try run("mount", arguments) }

  private static func run(_ program: String, _ arguments: [String]) throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
