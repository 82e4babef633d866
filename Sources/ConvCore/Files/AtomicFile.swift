#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Writes a file whole or not at all: a temporary file in the same folder, flushed to disk, then renamed.
///
/// After an error (a full disk, a missing permission, an error thrown by the caller) the temporary file is
/// gone and an older file of that name is as it was. Devices and pipes are written directly.
public enum AtomicFile {
  /// Takes the bytes of a file that is being written.
  public final class Writer {
    /// The path that the file will have.
    public let path: String
    private let descriptor: Int32
    private var pending: [UInt8] = []
    private static let chunk = 1 << 18

    fileprivate init(path: String, descriptor: Int32) {
      self.path = path
      self.descriptor = descriptor
      pending.reserveCapacity(Self.chunk)
    }

    /// Appends bytes.
    ///
    /// - Throws: `FileError.inputOutput`, such as on a full disk.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
      if pending.count + bytes.count > Self.chunk { try flush() }
      if bytes.count >= Self.chunk {
        try writeThrough(bytes)
      } else {
        pending.append(contentsOf: bytes)
      }
    }

    /// Appends bytes.
    ///
    /// - Throws: `FileError.inputOutput`.
    public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    /// Appends UTF-8 text.
    ///
    /// - Throws: `FileError.inputOutput`.
    public func write(_ text: String) throws {
      var text = text
      try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
    }

    fileprivate func flush() throws {
      try pending.withUnsafeBytes { try writeThrough($0) }
      pending.removeAll(keepingCapacity: true)
    }

    private func writeThrough(_ bytes: UnsafeRawBufferPointer) throws {
      if let code = WholeWrite.write(bytes, to: descriptor) {
        throw FileError.inputOutput(path: path, reason: FileError.systemReason(code))
      }
    }
  }

  /// Writes the file that `body` fills; an error thrown by `body` leaves nothing behind.
  ///
  /// Folders that are missing on the way are not made. A symbolic link is followed.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`, and what `body` throws.
  public static func write(to path: String, _ body: (Writer) throws -> Void) throws {
    var status = stat()
    if stat(path, &status) == 0 {
      switch status.st_mode & S_IFMT {
      case S_IFREG: break
      case S_IFDIR: throw FileError.cannotCreate(path: path, reason: "a folder of that name exists")
      // Renaming onto a device would remove the device.
      default: return try writeInPlace(path, body)
      }
    }
    let target = resolvingLinks(path)
    let (folder, name) = split(target)
    let (temporary, descriptor) = try createTemporary(in: folder, name: name, for: path)
    do {
      let writer = Writer(path: path, descriptor: descriptor)
      try body(writer)
      try writer.flush()
      guard fsync(descriptor) == 0 else {
        throw FileError.inputOutput(path: path, reason: FileError.systemReason())
      }
    } catch {
      close(descriptor)
      unlink(temporary)
      throw error
    }
    guard close(descriptor) == 0, rename(temporary, target) == 0 else {
      let reason = FileError.systemReason()
      unlink(temporary)
      throw FileError.inputOutput(path: path, reason: reason)
    }
    synchronize(folder: folder)
  }

  /// Writes bytes as a whole file.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`.
  public static func write(_ bytes: [UInt8], to path: String) throws {
    try write(to: path) { try $0.write(bytes) }
  }

  /// Writes UTF-8 text as a whole file.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`.
  public static func write(_ text: String, to path: String) throws {
    try write(to: path) { try $0.write(text) }
  }

  /// Finds out before a long run whether `path` could be written, without leaving anything there.
  ///
  /// - Throws: `FileError.cannotCreate`.
  public static func checkCreatable(_ path: String) throws {
    var status = stat()
    if stat(path, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR {
        throw FileError.cannotCreate(path: path, reason: "a folder of that name exists")
      }
      if status.st_mode & S_IFMT != S_IFREG { return }
    }
    let (folder, name) = split(resolvingLinks(path))
    let (temporary, descriptor) = try createTemporary(in: folder, name: name, for: path)
    close(descriptor)
    unlink(temporary)
  }

  private static func writeInPlace(_ path: String, _ body: (Writer) throws -> Void) throws {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError.cannotCreate(path: path, reason: FileError.systemReason()) }
    defer { close(descriptor) }
    let writer = Writer(path: path, descriptor: descriptor)
    try body(writer)
    try writer.flush()
  }

  /// The folder and the last component of a path.
  static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let folder = String(path[..<slash])
    return (folder.isEmpty ? "/" : folder, String(path[path.utf8.index(after: slash)...]))
  }

  /// A name for a temporary file or folder beside `name`.
  static func temporaryName(_ name: String) -> String {
    // File names have at most 255 bytes.
    let short = String(decoding: Array(name.utf8.prefix(180)), as: UTF8.self)
    return ".\(short).\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 36)).tmp"
  }

  private static func createTemporary(
    in folder: String, name: String, for path: String
  ) throws -> (path: String, descriptor: Int32) {
    guard !name.isEmpty else { throw FileError.cannotCreate(path: path, reason: "it has no file name") }
    while true {
      let temporary = folder + "/" + temporaryName(name)
      let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 { return (temporary, descriptor) }
      if errno == EEXIST || errno == EINTR { continue }
      throw FileError.cannotCreate(path: path, reason: FileError.systemReason())
    }
  }

  private static func resolvingLinks(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Makes a rename durable; a file system that cannot is no error.
  static func synchronize(folder: String) {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }
}
