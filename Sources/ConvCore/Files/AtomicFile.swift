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
  /// Folders that are missing on the way are not made. A symbolic link is followed. A file that may not be written is not replaced.
  /// What a process that was killed has left in the folder is removed first.
  ///
  /// - Throws: `FileError.cannotCreate` or `.inputOutput`, and what `body` throws.
  public static func write(to path: String, _ body: (Writer) throws -> Void) throws {
    // Renaming onto a device would remove the device.
    if try isWrittenInPlace(path) { return try writeInPlace(path, body) }
    let place = try FilePlace(path)
    TemporaryEntry.sweep(place.folder)
    let (temporary, descriptor) = try createTemporary(at: place, for: path)
    do {
      let writer = Writer(path: path, descriptor: descriptor)
      try body(writer)
      try writer.flush()
      // Closing ends the lock, by which others know that the file is not left over: it comes after the renaming.
      guard fsync(descriptor) == 0, renameat(place.folder, temporary, place.folder, place.name) == 0 else {
        throw FileError.inputOutput(path: path, reason: FileError.systemReason())
      }
    } catch {
      unlinkat(place.folder, temporary, 0)
      TemporaryEntry.end(temporary, in: place.folder)
      close(descriptor)
      throw error
    }
    TemporaryEntry.end(temporary, in: place.folder)
    close(descriptor)
    synchronize(place.folder)
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
  public static func checkCreatable(_ path: String) throws { try claim(path).end() }

  /// Keeps other processes from writing the file until the claim ends, and finds out whether it could be written.
  ///
  /// Devices and pipes are everybody's. The lock is an empty hidden file beside the file, which goes when the claim ends.
  ///
  /// - Throws: `FileError.cannotCreate`, also where another process holds the claim.
  public static func claim(_ path: String) throws -> OutputClaim {
    if try isWrittenInPlace(path) { return OutputClaim(path: path) }
    let place = try FilePlace(path)
    TemporaryEntry.sweep(place.folder)
    return try OutputClaim(path: path, file: place)
  }

  /// Removes the temporary files and locks that this process has under way: for a process that ends in the middle of it, at once.
  public static func abandon() { TemporaryEntry.abandon() }

  /// Whether a path is that of a device or a pipe.
  ///
  /// - Throws: `FileError.cannotCreate` for a folder, and for what may not be written.
  private static func isWrittenInPlace(_ path: String) throws -> Bool {
    try FilePlace.requirePossible(path)
    var status = stat()
    guard stat(path, &status) == 0 else { return false }
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      guard access(path, W_OK) == 0 else {
        throw FileError.cannotCreate(path: path, reason: "it exists and may not be written")
      }
      return false
    case S_IFDIR: throw FileError.cannotCreate(path: path, reason: "a folder of that name exists")
    default: return true
    }
  }

  private static func writeInPlace(_ path: String, _ body: (Writer) throws -> Void) throws {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError.cannotCreate(path: path, reason: FileError.systemReason()) }
    defer { close(descriptor) }
    let writer = Writer(path: path, descriptor: descriptor)
    try body(writer)
    try writer.flush()
  }

  private static func createTemporary(
    at place: FilePlace, for path: String
  ) throws -> (name: String, descriptor: Int32) {
    while true {
      let name = TemporaryEntry.name(for: place.shownName)
      let descriptor = openat(place.folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 {
        if TemporaryEntry.hold(descriptor) {
          TemporaryEntry.begin(name, in: place.folder)
          return (name, descriptor)
        }
        // Somebody who removes what is left over was quicker.
        unlinkat(place.folder, name, 0)
        close(descriptor)
        continue
      }
      if errno == EEXIST || errno == EINTR { continue }
      throw FileError.cannotCreate(path: path, reason: FileError.systemReason())
    }
  }

  /// Makes a rename durable; a file system that cannot is no error.
  static func synchronize(_ folder: Int32) {
    let descriptor = openat(folder, ".", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }
}
