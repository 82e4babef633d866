import CZlib
import ConvCore

/// The bytes of a file from beginning to end; a gzip file (RFC 1952) is decompressed on the way.
///
/// Several gzip members one after the other are read as one file. Checksums and lengths are verified.
public final class ByteStream {
  /// Path of the file, or the name given with the bytes.
  public let path: String
  /// Whether the file is compressed.
  public let isGzip: Bool
  /// An upper bound of the number of bytes that can come: deflate expands at most 1032 times.
  public let maximumByteCount: Int
  /// The number of bytes read so far.
  public private(set) var position = 0

  private let byteCount: Int
  private let source: (Int, UnsafeMutableRawBufferPointer) throws -> Void
  private var sourcePosition = 0
  private var inflater: Inflater?

  /// Opens a file.
  ///
  /// - Throws: `FileError.missingInput`.
  public convenience init(path: String) throws {
    let file = try InputFile(path: path)
    try self.init(name: path, byteCount: file.byteCount) { try file.read(at: $0, into: $1) }
  }

  /// Reads bytes that are in memory; `name` is the path that errors name.
  public convenience init(bytes: [UInt8], name: String = "(memory)") throws {
    try self.init(name: name, byteCount: bytes.count) { offset, buffer in
      bytes.withUnsafeBytes { source in
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[offset..<offset + buffer.count]))
      }
    }
  }

  private init(
    name: String, byteCount: Int, source: @escaping (Int, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    path = name
    self.byteCount = byteCount
    self.source = source
    var magic: (UInt8, UInt8) = (0, 0)
    if byteCount >= 2 { try withUnsafeMutableBytes(of: &magic) { try source(0, $0) } }
    isGzip = magic == (0x1F, 0x8B)
    let (bound, overflow) = byteCount.multipliedReportingOverflow(by: 1032)
    maximumByteCount = isGzip ? (overflow ? .max : bound) : byteCount
    if isGzip { inflater = try Inflater(path: name) }
  }

  /// Fills `buffer` as far as bytes come; a smaller count means that the file has ended.
  ///
  /// - Throws: `FileError.malformed` for a gzip file that is garbled or ends too early, `.inputOutput`.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let count: Int
    if let inflater {
      count = try inflater.read(into: buffer, refill: nextChunk)
    } else {
      count = min(buffer.count, byteCount - sourcePosition)
      if count > 0 {
        try source(sourcePosition, UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        sourcePosition += count
      }
    }
    position += count
    return count
  }

  /// The next `count` bytes.
  ///
  /// - Throws: `FileError.malformed` where the file ends before.
  public func bytes(_ count: Int, of what: String) throws -> [UInt8] {
    let start = position
    try MemoryAllowance.current.require(byteCount: count)
    let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = try read(into: UnsafeMutableRawBufferPointer(buffer))
    }
    guard bytes.count == count else {
      throw FileError.malformed(
        path: path, reason: "it ends at byte \(position), \(what) needs bytes \(start) to \(start + count)")
    }
    return bytes
  }

  private func nextChunk(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let count = min(buffer.count, byteCount - sourcePosition)
    if count > 0 {
      try source(sourcePosition, UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
      sourcePosition += count
    }
    return count
  }
}

/// zlib's inflate on a chunk of compressed bytes that is refilled.
private final class Inflater {
  private let path: String
  private let stream: UnsafeMutablePointer<z_stream>
  private let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
  private var compressedBytes = 0
  private var hasEnded = false

  init(path: String) throws {
    self.path = path
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 15 bits of window, +16: gzip only.
    let code = inflateInit2_(stream, 15 + 16, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      throw FileError.inputOutput(path: path, reason: "zlib cannot begin: \(message(code))")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
    chunk.deallocate()
  }

  private func message(_ code: Int32) -> String {
    stream.pointee.msg.map { String(cString: $0) } ?? String(cString: zError(code))
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, refill: (UnsafeMutableRawBufferPointer) throws -> Int
  ) throws -> Int {
    var done = 0
    while done < buffer.count && !hasEnded {
      if stream.pointee.avail_in == 0 {
        let count = try refill(chunk)
        compressedBytes += count
        guard count > 0 else {
          throw FileError.malformed(
            path: path, reason: "the gzip data end too early, after \(compressedBytes) compressed bytes")
        }
        stream.pointee.next_in = chunk.baseAddress!.assumingMemoryBound(to: Bytef.self)
        stream.pointee.avail_in = UInt32(count)
      }
      let wish = min(buffer.count - done, 1 << 30)
      stream.pointee.next_out = (buffer.baseAddress! + done).assumingMemoryBound(to: Bytef.self)
      stream.pointee.avail_out = UInt32(wish)
      let code = inflate(stream, Z_NO_FLUSH)
      done += wish - Int(stream.pointee.avail_out)
      switch code {
      case Z_OK, Z_BUF_ERROR: continue
      case Z_STREAM_END: try beginNextMember(refill)
      default:
        let place = compressedBytes - Int(stream.pointee.avail_in)
        throw FileError.malformed(
          path: path, reason: "the gzip data are garbled near compressed byte \(place): \(message(code))")
      }
    }
    return done
  }

  /// After the end of a member: the file's end, or another member.
  private func beginNextMember(_ refill: (UnsafeMutableRawBufferPointer) throws -> Int) throws {
    if stream.pointee.avail_in == 0 {
      let count = try refill(chunk)
      compressedBytes += count
      stream.pointee.next_in = chunk.baseAddress!.assumingMemoryBound(to: Bytef.self)
      stream.pointee.avail_in = UInt32(count)
    }
    if stream.pointee.avail_in == 0 {
      hasEnded = true
    } else {
      inflateReset(stream)
    }
  }
}

/// The version of the zlib library that is linked, such as `1.2.13`.
public var zlibVersionText: String { String(cString: zlibVersion()) }
