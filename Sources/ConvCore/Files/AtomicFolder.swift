#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Writes several files that belong together: all of them appear in the folder, each whole, or none.
///
/// They are written into a hidden folder in the destination, and moved out of it when all of them are complete; files of other names
/// stay. Where the process is killed while it moves them, the next one that writes there moves the others.
public enum AtomicFolder {
  /// Takes the files of a folder that is being written.
  public final class Writer {
    /// The path that the folder will have.
    public let path: String
    fileprivate let temporary: String
    fileprivate var names: [String] = []

    fileprivate init(path: String, temporary: String) {
      self.path = path
      self.temporary = temporary
    }

    /// Adds a file.
    ///
    /// - Throws: `FileError`.
    public func write(_ name: String, _ text: String) throws {
      try write(name) { try $0.write(text) }
    }

    /// Adds a file that `body` fills.
    ///
    /// - Throws: `FileError`, and what `body` throws.
    public func write(_ name: String, _ body: (AtomicFile.Writer) throws -> Void) throws {
      precondition(
        !name.isEmpty && !name.utf8.contains(UInt8(ascii: "/")), "a file name, not a path: \(name)")
      do {
        try AtomicFile.write(to: path + "/" + temporary + "/" + name, body)
      } catch let error as FileError {
        throw error.about(path + "/" + name)
      }
      if !names.contains(name) { names.append(name) }
    }
  }

  /// Writes the files that `body` adds into the folder at `path`, which is made together with its parents.
  ///
  /// - Throws: `FileError`, and what `body` throws; then the destination is as it was.
  public static func write(to path: String, _ body: (Writer) throws -> Void) throws {
    let path = try withoutTrailingSlashes(path)
    let made = try makeFolders(path, for: path)
    do {
      try write(into: path, body)
    } catch {
      for folder in made { rmdir(folder) }
      throw error
    }
  }

  /// Finds out before a long run whether the folder at `path` could be written, leaving nothing there.
  ///
  /// - Throws: `FileError.cannotCreate`.
  public static func checkCreatable(_ path: String) throws { try claim(path).end() }

  /// Keeps other processes from writing the folder until the claim ends, and finds out whether these files and folders could be
  /// written in it. A folder that is missing is made; it goes again where nothing came into it.
  ///
  /// - Throws: `FileError.cannotCreate`, also where another process holds the claim.
  public static func claim(
    _ path: String, files: [String] = [], folders: [String] = []
  ) throws -> OutputClaim {
    let path = try withoutTrailingSlashes(path)
    while true {
      let made = try makeFolders(path, for: path)
      guard let claim = try OutputClaim(path: path, folder: path, made: made) else { continue }
      try check(claim, files, folders)
      return claim
    }
  }

  /// Claims a folder that nobody has: the one at `path`, or at `path-2`, `path-3` … where that is there.
  ///
  /// - Throws: `FileError.cannotCreate`.
  public static func claim(newAt path: String) throws -> OutputClaim {
    let path = try withoutTrailingSlashes(path)
    let parents = try makeFolders(split(path).folder, for: path)
    for number in 1... {
      let candidate = number == 1 ? path : "\(path)-\(number)"
      guard mkdir(candidate, 0o777) == 0 else {
        if errno == EEXIST { continue }
        let reason = FileError.systemReason()
        for folder in parents { rmdir(folder) }
        throw FileError.cannotCreate(path: candidate, reason: reason)
      }
      guard let claim = try OutputClaim(path: candidate, folder: candidate, made: [candidate] + parents)
      else { continue }
      try check(claim, [], [])
      return claim
    }
    preconditionFailure("numbers end")
  }

  /// Whether files and folders could be written in a claimed folder.
  private static func check(_ claim: OutputClaim, _ files: [String], _ folders: [String]) throws {
    TemporaryEntry.sweep(claim.folder)
    let temporary = TemporaryEntry.name(for: "report")
    guard mkdirat(claim.folder, temporary, 0o777) == 0 else {
      throw FileError.cannotCreate(path: claim.path, reason: FileError.systemReason())
    }
    unlinkat(claim.folder, temporary, AT_REMOVEDIR)
    for name in files { try requireReplaceable(name, in: claim.folder, path: claim.path) }
    for name in folders {
      var status = stat()
      guard fstatat(claim.folder, name, &status, 0) == 0, status.st_mode & S_IFMT != S_IFDIR else { continue }
      throw FileError.cannotCreate(
        path: claim.path + "/" + name, reason: "a file of that name exists, a folder is needed")
    }
  }

  private static func requireReplaceable(_ name: String, in folder: Int32, path: String) throws {
    var status = stat()
    guard fstatat(folder, name, &status, 0) == 0 else { return }
    let path = path + "/" + name
    if status.st_mode & S_IFMT == S_IFDIR {
      throw FileError.cannotCreate(path: path, reason: "a folder of that name exists")
    }
    guard faccessat(folder, name, W_OK, 0) == 0 else {
      throw FileError.cannotCreate(path: path, reason: "it exists and may not be written")
    }
  }

  /// Writes into a folder that is there.
  private static func write(into path: String, _ body: (Writer) throws -> Void) throws {
    func failure(_ path: String) -> FileError { .cannotCreate(path: path, reason: FileError.systemReason()) }
    let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw failure(path) }
    defer { close(folder) }
    TemporaryEntry.sweep(folder)
    var temporary = ""
    var inner: Int32 = -1
    while inner < 0 {
      temporary = TemporaryEntry.name(for: "report")
      guard mkdirat(folder, temporary, 0o777) == 0 else { throw failure(path) }
      inner = openat(folder, temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      if inner >= 0 && !TemporaryEntry.hold(inner) {
        // Somebody who removes what is left over was quicker.
        close(inner)
        inner = -1
      } else if inner < 0 && errno != ENOENT {
        throw failure(path)
      }
    }
    TemporaryEntry.begin(temporary, in: folder)
    defer {
      TemporaryEntry.end(temporary, in: folder)
      close(inner)
    }
    let writer = Writer(path: path, temporary: temporary)
    do {
      try body(writer)
      for name in writer.names { try requireReplaceable(name, in: folder, path: path) }
      let whole = TemporaryEntry.whole(temporary)
      guard renameat(folder, temporary, folder, whole) == 0 else { throw failure(path) }
      TemporaryEntry.end(temporary, in: folder)
      temporary = whole
      TemporaryEntry.begin(temporary, in: folder)
      for name in writer.names where renameat(inner, name, folder, name) != 0 {
        throw failure(path + "/" + name)
      }
    } catch {
      for name in writer.names { unlinkat(inner, name, 0) }
      unlinkat(folder, temporary, AT_REMOVEDIR)
      throw error
    }
    unlinkat(folder, temporary, AT_REMOVEDIR)
    AtomicFile.synchronize(folder)
  }

  private static func withoutTrailingSlashes(_ path: String) throws -> String {
    try FilePlace.requirePossible(path)
    var path = path[...]
    while path.utf8.count > 1 && path.utf8.last == UInt8(ascii: "/") { path.removeLast() }
    return String(path)
  }

  /// The folder and the last component of a path.
  private static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let folder = String(path[..<slash])
    return (folder.isEmpty ? "/" : folder, String(path[path.utf8.index(after: slash)...]))
  }

  /// Makes a folder and its parents; returns those that were made, innermost first.
  private static func makeFolders(_ folder: String, for path: String) throws -> [String] {
    var missing: [String] = []
    var current = folder
    var status = stat()
    while stat(current, &status) != 0 {
      guard errno == ENOENT else {
        throw FileError.cannotCreate(path: path, reason: "\(current): \(FileError.systemReason())")
      }
      missing.append(current)
      current = split(try withoutTrailingSlashes(current)).folder
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw FileError.cannotCreate(
        path: path,
        reason: current == path
          ? "a file of that name exists, a folder is needed" : "\(current) is a file, not a folder")
    }
    var made: [String] = []
    for folder in missing.reversed() {
      guard mkdir(folder, 0o777) == 0 else {
        // Another process may have been quicker; a link to nowhere is there too, and no folder.
        if errno == EEXIST && stat(folder, &status) == 0 { continue }
        let reason = "\(folder): \(FileError.systemReason())"
        for folder in made { rmdir(folder) }
        throw FileError.cannotCreate(path: path, reason: reason)
      }
      made.insert(folder, at: 0)
    }
    return made
  }
}

extension FileError {
  /// The same error about another path.
  fileprivate func about(_ path: String) -> FileError {
    switch self {
    case .missingInput(_, let reason): .missingInput(path: path, reason: reason)
    case .malformed(_, let reason): .malformed(path: path, reason: reason)
    case .cannotCreate(_, let reason): .cannotCreate(path: path, reason: reason)
    case .inputOutput(_, let reason): .inputOutput(path: path, reason: reason)
    }
  }
}
