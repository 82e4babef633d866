/// Reading and writing of `.safetensors` files: 8-byte header length, JSON header, raw tensors.
///
/// References: https://huggingface.co/docs/safetensors (Format).
public enum Safetensors {
  /// The largest header that is accepted, in bytes (the limit of the format's own library).
  public static let maximumHeaderBytes = 100_000_000

  /// The key of the header that holds strings about the file.
  static let metadataKey = "__metadata__"

  /// The name of an element type in the format.
  static func dtype(_ type: ElementType) -> String {
    switch type {
    case .float32: "F32"
    case .float64: "F64"
    case .int64: "I64"
    case .uint8: "U8"
    case .bool: "BOOL"
    }
  }

  /// Writes named tensors as a file, whole or not at all; equal arguments give equal bytes.
  ///
  /// Elements are in logical (row-major) order whatever the tensors' formats. 8-byte types come first,
  /// then 4-byte types, then bytes: all tensors are aligned. Among equals the given order is kept.
  ///
  /// - Throws: `FileError`; `ConvError.operand` for a name that appears twice or is reserved.
  public static func write(
    _ tensors: [(String, Tensor)], metadata: [String: String] = [:], to path: String
  ) throws {
    let (header, ordered) = try header(of: tensors, metadata)
    try AtomicFile.write(to: path) { writer in
      try writer.write(header)
      for (_, tensor) in ordered {
        let plain = try tensor.converted(to: .nchw)
        try plain.withUnsafeRawPointer { try writer.write(.init(start: $0, count: plain.byteCount)) }
      }
    }
  }

  /// Writes named tensors, sorted by name.
  ///
  /// - Throws: as the other `write`.
  public static func write(
    _ tensors: [String: Tensor], metadata: [String: String] = [:], to path: String
  ) throws {
    let sorted = tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    try write(sorted, metadata: metadata, to: path)
  }

  /// The bytes of a file with these tensors, as `write` would write them.
  ///
  /// - Throws: `ConvError.operand` for a name that appears twice or is reserved.
  public static func encode(
    _ tensors: [(String, Tensor)], metadata: [String: String] = [:]
  ) throws -> [UInt8] {
    let (header, ordered) = try header(of: tensors, metadata)
    var bytes = header
    for (_, tensor) in ordered {
      let plain = try tensor.converted(to: .nchw)
      plain.withUnsafeRawPointer {
        bytes.append(contentsOf: UnsafeRawBufferPointer(start: $0, count: plain.byteCount))
      }
    }
    return bytes
  }

  /// The length and the JSON header, padded so that the data begin at a multiple of 8 bytes.
  private static func header(
    of tensors: [(String, Tensor)], _ metadata: [String: String]
  ) throws -> ([UInt8], [(String, Tensor)]) {
    var names: Set<String> = []
    for (name, _) in tensors {
      guard name != metadataKey else {
        throw ConvError.operand("a tensor cannot have the reserved name '\(metadataKey)'")
      }
      guard names.insert(name).inserted else {
        throw ConvError.operand("two tensors have the name '\(name)'")
      }
    }
    let ordered = [8, 4, 1].flatMap { size in tensors.filter { $0.1.elementType.byteCount == size } }
    var entries: [String] = []
    if !metadata.isEmpty {
      let members = metadata.sorted { $0.key < $1.key }
        .map { JSONValue.quoted($0.key) + ":" + JSONValue.quoted($0.value) }
      entries.append("\"\(metadataKey)\":{\(members.joined(separator: ","))}")
    }
    var offset = 0
    for (name, tensor) in ordered {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let end = offset + tensor.byteCount
      entries.append(
        "\(JSONValue.quoted(name)):{\"dtype\":\"\(dtype(tensor.elementType))\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(entries.joined(separator: ","))}".utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return (length + text, ordered)
  }
}
