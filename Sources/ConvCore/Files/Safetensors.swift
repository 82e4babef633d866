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

  /// The element type of a name; nil for those that a `Tensor` cannot hold.
  static func elementType(_ dtype: String) -> ElementType? {
    ElementType.allCases.first { Safetensors.dtype($0) == dtype }
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

/// A `.safetensors` file that has been read and validated whole.
///
/// Everything that the header says is checked against the file's size before memory is allocated: lengths,
/// JSON, duplicate names, element types, shapes, and that the tensors fill the data without a gap.
public struct SafetensorsFile: Sendable {
  /// Path of the file, or the name given with the bytes.
  public let path: String
  /// The strings of `__metadata__`.
  public let metadata: [String: String]
  /// The tensors by name.
  public let tensors: [String: Tensor]
  /// The names in the order of their data.
  public let names: [String]

  /// Reads a file.
  ///
  /// - Throws: `FileError.missingInput`, `.inputOutput`, or `.malformed` with what is wrong and
  ///   the numbers; element
  ///   types other than F32, F64, I64, U8 and BOOL are errors that name the tensor.
  public init(path: String) throws {
    let file = try InputFile(path: path)
    try self.init(name: path, byteCount: file.byteCount) { try file.read(at: $0, into: $1) }
  }

  /// Reads a file's bytes.
  ///
  /// - Throws: `FileError.malformed`, whose path is `name`.
  public init(bytes: [UInt8], name: String = "(memory)") throws {
    try self.init(name: name, byteCount: bytes.count) { offset, buffer in
      bytes.withUnsafeBytes { source in
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[offset..<offset + buffer.count]))
      }
    }
  }

  /// The tensor of that name.
  ///
  /// - Throws: `FileError.malformed` that lists the names that there are.
  public func tensor(_ name: String) throws -> Tensor {
    guard let tensor = tensors[name] else {
      throw FileError.malformed(
        path: path, reason: "no tensor '\(name)'; it holds: \(names.joined(separator: ", "))")
    }
    return tensor
  }

  private init(
    name: String, byteCount: Int, read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    func malformed(_ reason: String) -> FileError { .malformed(path: name, reason: reason) }
    func bytes(at offset: Int, count: Int) throws -> [UInt8] {
      try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        if count > 0 { try read(offset, UnsafeMutableRawBufferPointer(buffer)) }
        initialized = count
      }
    }
    guard byteCount >= 8 else {
      throw malformed("it has \(byteCount) bytes, the header's length alone takes 8")
    }
    let stated = try bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard stated <= UInt64(Safetensors.maximumHeaderBytes) else {
      throw malformed(
        "its header would have \(stated) bytes, at most \(Safetensors.maximumHeaderBytes) are accepted")
    }
    let headerBytes = Int(stated)
    guard headerBytes <= byteCount - 8 else {
      throw malformed(
        "its header would have \(headerBytes) bytes, the file has \(byteCount - 8) after the length")
    }
    let header: JSONValue
    do {
      header = try JSONValue(parsing: bytes(at: 8, count: headerBytes))
    } catch let error as JSONValue.SyntaxError {
      throw malformed("its header is not valid: \(error)")
    }
    guard var members = header.object else { throw malformed("its header is not a JSON object") }

    var metadata: [String: String] = [:]
    if let value = members.removeValue(forKey: Safetensors.metadataKey) {
      guard let strings = value.object else { throw malformed("its __metadata__ is not a JSON object") }
      for (key, value) in strings {
        guard let text = value.string else { throw malformed("its __metadata__ '\(key)' is not a string") }
        metadata[key] = text
      }
    }

    let dataBytes = byteCount - 8 - headerBytes
    let entries = try members.map {
      try Entry(name: $0.key, value: $0.value, dataBytes: dataBytes, malformed)
    }
    .sorted { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }
    var end = 0
    for entry in entries {
      guard entry.begin == end else {
        let what =
          entry.begin < end ? "overlaps the tensor before it, which ends" : "leaves a gap after the data"
        throw malformed(
          "tensor '\(entry.name)' begins at data byte \(entry.begin), it \(what) at byte \(end)")
      }
      end = entry.end
    }
    guard end == dataBytes else {
      throw malformed("its tensors take \(end) bytes, the file has \(dataBytes) after the header")
    }

    var tensors: [String: Tensor] = [:]
    for entry in entries {
      var tensor = try Tensor(uninitialized: entry.shape, elementType: entry.elementType)
      let byteCount = tensor.byteCount
      let strange: UInt8? = try tensor.withUnsafeMutableRawPointer { pointer in
        let buffer = UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
        try read(8 + headerBytes + entry.begin, buffer)
        return entry.elementType == .bool ? buffer.first { $0 > 1 } : nil
      }
      if let strange {
        throw malformed(
          "tensor '\(entry.name)' is BOOL and holds the byte \(strange), only 0 and 1 are possible")
      }
      tensors[entry.name] = tensor
    }
    self.path = name
    self.metadata = metadata
    self.tensors = tensors
    self.names = entries.map(\.name)
  }
}

/// What the header says about one tensor, validated.
private struct Entry {
  let name: String
  let elementType: ElementType
  let shape: [Int]
  let begin: Int
  let end: Int

  init(name: String, value: JSONValue, dataBytes: Int, _ malformed: (String) -> FileError) throws {
    self.name = name
    guard let members = value.object, let dtype = members["dtype"]?.string,
      let shape = members["shape"]?.integers, let offsets = members["data_offsets"]?.integers,
      offsets.count == 2
    else {
      throw malformed(
        "tensor '\(name)' needs dtype (a string), shape (integers) and data_offsets (two integers)")
    }
    if let unknown = members.keys.filter({ !["dtype", "shape", "data_offsets"].contains($0) }).min() {
      throw malformed("tensor '\(name)' has the unknown key '\(unknown)'")
    }
    guard let elementType = Safetensors.elementType(dtype) else {
      throw malformed("tensor '\(name)' has dtype \(dtype); F32, F64, I64, U8 and BOOL can be read")
    }
    let count: Int
    do {
      count = try Tensor.validatedCount(of: shape)
    } catch {
      throw malformed("tensor '\(name)': \(error)")
    }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: elementType.byteCount)
    let (begin, end) = (offsets[0], offsets[1])
    guard begin >= 0, begin <= end, end <= dataBytes else {
      throw malformed(
        "tensor '\(name)' has data_offsets [\(begin), \(end)], the file has \(dataBytes) bytes of data")
    }
    guard !overflow, end - begin == bytes else {
      let needed = overflow ? "more bytes than fit in memory" : "\(bytes) bytes"
      throw malformed(
        "tensor '\(name)' of shape \(shape) and dtype \(dtype) needs \(needed), "
          + "its data_offsets span \(end - begin)"
      )
    }
    self.elementType = elementType
    self.shape = shape
    self.begin = begin
    self.end = end
  }
}
