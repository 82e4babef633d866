import ConvCore

/// Reading of IDX files, the format of MNIST: two zero bytes, a type, a rank, big-endian extents, elements.
///
/// References: http://yann.lecun.com/exdb/mnist (file formats).
public enum IDX {
  /// Names of the format's element types; only bytes (0x08) can be read.
  private static let typeNames: [UInt8: String] = [
    0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64",
  ]

  /// The largest number of elements that is read.
  public static let maximumElements = 1 << 32

  /// Reads a file of bytes, gzip'd or not.
  ///
  /// - Returns: a `uint8` tensor of the file's shape (rank 1 to 5).
  /// - Throws: `FileError.missingInput`, `.malformed` with both numbers, `.inputOutput`.
  public static func read(path: String) throws -> Tensor {
    try read(ByteStream(path: path))
  }

  /// Reads a stream of bytes to its end.
  ///
  /// No memory is taken for extents that the stream cannot fill.
  ///
  /// - Throws: `FileError`.
  public static func read(_ stream: ByteStream) throws -> Tensor {
    func malformed(_ reason: String) -> FileError { .malformed(path: stream.path, reason: reason) }
    let magic = try stream.bytes(4, of: "an IDX header")
    guard magic[0] == 0, magic[1] == 0 else {
      let found = magic.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
      throw malformed("not an IDX file: it begins with the bytes \(found), expected 00 00 08 and a rank")
    }
    guard magic[2] == 0x08 else {
      let name = typeNames[magic[2]] ?? "unknown"
      throw malformed(
        "its element type is 0x\(String(magic[2], radix: 16)) (\(name)), only 0x8 (uint8) is read")
    }
    let rank = Int(magic[3])
    guard (1...5).contains(rank) else { throw malformed("its rank is \(rank), 1 to 5 are possible") }
    let extents = try stream.bytes(4 * rank, of: "\(rank) extents")
    let shape = (0..<rank).map { axis in
      extents[4 * axis..<4 * axis + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    let count: Int
    do {
      count = try Tensor.validatedCount(of: shape)
    } catch {
      throw malformed("\(error)")
    }
    let possible = stream.isGzip ? stream.maximumByteCount : stream.maximumByteCount - stream.position
    guard count <= min(possible, maximumElements) else {
      throw malformed(
        "its shape \(shape) has \(count) elements, the file can hold at most \(min(possible, maximumElements))"
      )
    }
    var tensor = try Tensor(uninitialized: shape, elementType: .uint8)
    let found = try tensor.withUnsafeMutableRawPointer {
      try stream.read(into: UnsafeMutableRawBufferPointer(start: $0, count: count))
    }
    guard found == count else {
      throw malformed("its shape \(shape) has \(count) elements, only \(found) follow")
    }
    var extra: UInt8 = 0
    if try withUnsafeMutableBytes(of: &extra, { try stream.read(into: $0) }) > 0 {
      throw malformed("more bytes follow after the \(count) elements of its shape \(shape)")
    }
    return tensor
  }
}
