import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The hidden files and folders that stand beside a file while it is written: `.NAME.PID-RANDOM.vbench.tmp`; `.NAME.lock.vbench.tmp`
/// while somebody has claimed it; and `.report.PID-RANDOM.whole.vbench.tmp` while a folder's files are moved into it.
///
/// Whoever makes one holds a lock on it until it is gone. One without a lock was left by a process that was killed. File systems
/// without locks keep such files.
enum TemporaryEntry {
  private static let suffix = ".vbench.tmp"
  private static let wholeMark = ".whole"
  private static let lockMark = "lock"

  /// A new name, for a temporary file or folder beside `name`.
  static func name(for name: String) -> String {
    // File names have at most 255 bytes.
    let short = String(decoding: Array(name.utf8.prefix(180)), as: UTF8.self)
    return ".\(short).\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 36))\(suffix)"
  }

  /// The name that a temporary folder has when its files are complete and only have to be moved.
  static func whole(_ name: String) -> String { name.dropLast(suffix.count) + wholeMark + suffix }

  /// The name of the lock on a file.
  static func lock(on name: String) -> String {
    // Long names are told apart by their hash.
    let short = name.utf8.count <= 180 ? name : name.prefix(40) + TextHash.digits(of: name)
    return ".\(short).\(lockMark)\(suffix)"
  }

  /// Locks an open file or folder for as long as it is open.
  ///
  /// - Returns: false where somebody else holds it or has removed it.
  static func hold(_ descriptor: Int32) -> Bool {
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK { return false }
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_nlink > 0
  }

  /// Whether a name is one of those above.
  static func isTemporary(_ name: String) -> Bool {
    guard name.hasPrefix("."), name.hasSuffix(suffix) else { return false }
    var rest = name.dropFirst().dropLast(suffix.count)
    if rest.hasSuffix(wholeMark) { rest = rest.dropLast(wholeMark.count) }
    guard let dot = rest.lastIndex(of: "."), dot > rest.startIndex else { return false }
    let mark = rest[rest.index(after: dot)...]
    if mark == lockMark { return true }
    let parts = mark.split(separator: "-", omittingEmptySubsequences: false)
    return parts.count == 2 && Int32(parts[0]) != nil && UInt32(parts[1], radix: 36) != nil
  }

  private struct Entry: Equatable, Sendable {
    var folder: Int32
    var name: String
  }

  /// What this process has under way.
  private static let own = Mutex<[Entry]>([])

  /// Notes that an entry of an open folder is this process's, until `end`.
  static func begin(_ name: String, in folder: Int32) {
    own.withLock { $0.append(Entry(folder: folder, name: name)) }
  }

  /// The entry is gone, or has another name.
  static func end(_ name: String, in folder: Int32) {
    own.withLock { entries in
      if let index = entries.lastIndex(of: Entry(folder: folder, name: name)) { entries.remove(at: index) }
    }
  }

  /// Removes what this process has under way, as `sweep` does for processes that are gone.
  static func abandon() {
    for entry in own.withLock({ $0 }).reversed() { finish(entry.name, in: entry.folder, isOwn: true) }
  }

  /// Removes what killed processes have left in an open folder, and moves what they had only to move.
  static func sweep(_ folder: Int32) {
    for name in names(in: folder) where isTemporary(name) { finish(name, in: folder, isOwn: false) }
  }

  /// The names in an open folder, without those that are not UTF-8, of which none is ours.
  private static func names(in folder: Int32) -> [String] {
    let descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0, let stream = fdopendir(descriptor) else {
      if descriptor >= 0 { close(descriptor) }
      return []
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let name = FileTree.nextName(of: stream) {
      if let text = String(validatingCString: name) { names.append(text) }
    }
    return names
  }

  private static func finish(_ name: String, in folder: Int32, isOwn: Bool) {
    let descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return }
    guard isOwn || flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return }
    switch status.st_mode & S_IFMT {
    case S_IFREG: unlinkat(folder, name, 0)
    case S_IFDIR:
      let isWhole = name.hasSuffix(wholeMark + suffix)
      for file in names(in: descriptor) where file != "." && file != ".." {
        if isWhole { renameat(descriptor, file, folder, file) } else { unlinkat(descriptor, file, 0) }
      }
      unlinkat(folder, name, AT_REMOVEDIR)
    default: break
    }
  }
}
