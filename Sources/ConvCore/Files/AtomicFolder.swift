#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Writes several files that belong together: all of them appear in the folder, each whole, or none.
///
/// They are written into a hidden folder beside the destination, which is then renamed. Where the
/// destination exists already the files are moved into it one by one when
/// all of them are complete; files of other names stay.
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
        try AtomicFile.write(to: temporary + "/" + name, body)
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
    let path = withoutTrailingSlashes(path)
    let (parent, name) = AtomicFile.split(path)
    let madeParents = try makeFolders(parent, for: path)
    let temporary = parent + "/" + AtomicFile.temporaryName(name)
    guard mkdir(temporary, 0o777) == 0 else {
      let reason = FileError.systemReason()
      for folder in madeParents { rmdir(folder) }
      throw FileError.cannotCreate(path: path, reason: reason)
    }
    let writer = Writer(path: path, temporary: temporary)
    do {
      try body(writer)
      try moveIntoPlace(writer)
    } catch {
      for name in writer.names { unlink(temporary + "/" + name) }
      rmdir(temporary)
      for folder in madeParents { rmdir(folder) }
      throw error
    }
    AtomicFile.synchronize(folder: parent)
  }

  /// Finds out before a long run whether the folder at `path` could be written, leaving nothing there.
  ///
  /// - Throws: `FileError.cannotCreate`.
  public static func checkCreatable(_ path: String) throws {
    let path = withoutTrailingSlashes(path)
    var status = stat()
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw FileError.cannotCreate(path: path, reason: "a file of that name exists, a folder is needed")
      }
      return try AtomicFile.checkCreatable(path + "/report")
    }
    let (parent, name) = AtomicFile.split(path)
    let madeParents = try makeFolders(parent, for: path)
    defer { for folder in madeParents { rmdir(folder) } }
    let temporary = parent + "/" + AtomicFile.temporaryName(name)
    guard mkdir(temporary, 0o777) == 0 else {
      throw FileError.cannotCreate(path: path, reason: FileError.systemReason())
    }
    rmdir(temporary)
  }

  private static func moveIntoPlace(_ writer: Writer) throws {
    // An existing folder that is not empty is not replaced by rename (ENOTEMPTY); an empty one is.
    if rename(writer.temporary, writer.path) == 0 { return }
    let code = errno
    guard code == ENOTEMPTY || code == EEXIST else {
      throw FileError.cannotCreate(path: writer.path, reason: FileError.systemReason(code))
    }
    for name in writer.names {
      let destination = writer.path + "/" + name
      guard rename(writer.temporary + "/" + name, destination) == 0 else {
        throw FileError.cannotCreate(path: destination, reason: FileError.systemReason())
      }
    }
    rmdir(writer.temporary)
    AtomicFile.synchronize(folder: writer.path)
  }

  private static func withoutTrailingSlashes(_ path: String) -> String {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    return path
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
      current = AtomicFile.split(withoutTrailingSlashes(current)).folder
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw FileError.cannotCreate(path: path, reason: "\(current) is a file, not a folder")
    }
    var made: [String] = []
    for folder in missing.reversed() {
      guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
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
