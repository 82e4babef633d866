#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A regular file opened for reading at any offset.
public final class InputFile: Sendable {
  /// The path that it was opened with.
  public let path: String
  /// Its size when it was opened.
  public let byteCount: Int
  private let descriptor: Int32

  /// Opens a file.
  ///
  /// - Throws: `FileError.missingInput` where it is not there, not readable or not a regular file.
  public init(path: String) throws {
    // The system would read the name up to there, and open another file.
    if path.utf8.contains(0) {
      throw FileError.missingInput(path: path, reason: "its name holds a zero byte")
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw FileError.missingInput(path: path, reason: FileError.systemReason())
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let reason = FileError.systemReason()
      close(descriptor)
      throw FileError.missingInput(path: path, reason: reason)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      throw FileError.missingInput(
        path: path, reason: isFolder ? "it is a folder, a file is needed" : "it is not a regular file")
    }
    self.path = path
    self.byteCount = Int(status.st_size)
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Fills `buffer` with the bytes from `offset` on.
  ///
  /// - Throws: `FileError.inputOutput` where reading fails or the file has become shorter.
  public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    while done < buffer.count {
      // One system call reads at most 2 GiB.
      let wish = min(buffer.count - done, 1 << 30)
      let count = pread(descriptor, buffer.baseAddress! + done, wish, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw FileError.inputOutput(path: path, reason: FileError.systemReason())
      }
      guard count > 0 else {
        throw FileError.inputOutput(
          path: path,
          reason: "it ends at byte \(offset + done), \(offset + buffer.count) were needed: it became shorter")
      }
      done += count
    }
  }

  /// The whole file.
  ///
  /// - Parameter limit: the largest size that is accepted, in bytes.
  /// - Throws: `FileError` where it cannot be read or is larger than `limit`.
  public static func bytes(of path: String, limit: Int = 1 << 30) throws -> [UInt8] {
    let file = try InputFile(path: path)
    guard file.byteCount <= limit else {
      throw FileError.malformed(
        path: path, reason: "it has \(file.byteCount) bytes, at most \(limit) are read")
    }
    try MemoryAllowance.current.require(byteCount: file.byteCount)
    return try [UInt8](unsafeUninitializedCapacity: file.byteCount) { buffer, count in
      try file.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))
      count = file.byteCount
    }
  }

  /// The whole file as UTF-8 text, without a byte-order mark at its beginning.
  ///
  /// - Throws: `FileError` where it cannot be read, is larger than `limit` bytes or not UTF-8.
  public static func text(of path: String, limit: Int = 1 << 26) throws -> String {
    String(decoding: try utf8(of: path, limit: limit), as: UTF8.self)
  }

  /// The bytes of a file of UTF-8 text, without a byte-order mark; indices are offsets in the file.
  ///
  /// - Throws: `FileError` where it cannot be read, is larger than `limit` bytes or not UTF-8.
  public static func utf8(of path: String, limit: Int) throws -> ArraySlice<UInt8> {
    let bytes = try bytes(of: path, limit: limit)
    let text = bytes[try ByteOrderMark.length(in: bytes, path: path)...]
    guard String(validating: text, as: UTF8.self) != nil else {
      throw FileError.malformed(path: path, reason: "it is not UTF-8 text")
    }
    return text
  }
}

/// The mark that some editors write before a text (Unicode 15, section 23.8).
public enum ByteOrderMark {
  /// How many bytes the mark of UTF-8 takes at the beginning of a text; 0 where there is none.
  ///
  /// - Throws: `FileError.malformed` for the marks of UTF-16 and UTF-32, which nothing here reads.
  public static func length(in bytes: [UInt8], path: String) throws -> Int {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { return 3 }
    // The mark of UTF-32 in little-endian order begins with that of UTF-16.
    let others: [(name: String, mark: [UInt8])] = [
      ("UTF-32", [0xFF, 0xFE, 0, 0]), ("UTF-32", [0, 0, 0xFE, 0xFF]), ("UTF-16", [0xFF, 0xFE]),
      ("UTF-16", [0xFE, 0xFF]),
    ]
    if let found = others.first(where: { bytes.starts(with: $0.mark) }) {
      throw FileError.malformed(path: path, reason: "it is \(found.name) text, UTF-8 is needed")
    }
    return 0
  }
}
