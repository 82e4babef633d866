/// A `.safetensors` file that has been read and validated whole.
///
/// Everything that the header says is checked against the file's size before memory is allocated: lengths,
/// JSON, duplicate names, element types, shapes, and that the tensors fill the data without a gap.
///
/// F32, F64, I64, U8 and BOOL are tensors of that type. F16 and BF16 become float32, other integers int64: each value stays what it
/// is. Tensors that cannot be held (8-bit floats, complex numbers, more than 5 dimensions) do not keep the others from being read;
/// they are errors where somebody asks for them.
public struct SafetensorsFile: Sendable {
  /// Path of the file, or the name given with the bytes.
  public let path: String
  /// The strings of `__metadata__`.
  public let metadata: [String: String]
  /// The tensors by name, without those that cannot be held.
  public let tensors: [String: Tensor]
  /// Why the others cannot be held, by name.
  public let unreadable: [String: String]
  /// The names in the order of their data.
  public let names: [String]
  /// Bytes of all tensors in the file.
  public let dataBytes: Int

  /// Reads a file.
  ///
  /// - Throws: `FileError.missingInput`, `.inputOutput`, or `.malformed` with what is wrong and the numbers; PyTorch's own files
  ///   (zip, pickle) are named as what they are.
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
  /// - Throws: `FileError.malformed` that lists the names that there are, or says why it cannot be held.
  public func tensor(_ name: String) throws -> Tensor {
    if let tensor = try tensorIfAny(name) { return tensor }
    throw FileError.malformed(
      path: path, reason: "no tensor '\(name)'; it holds: \(names.joined(separator: ", "))")
  }

  /// The tensor of that name, nil where there is none.
  ///
  /// - Throws: `FileError.malformed` where it cannot be held.
  public func tensorIfAny(_ name: String) throws -> Tensor? {
    if let reason = unreadable[name] {
      throw FileError.malformed(path: path, reason: "tensor '\(name)' \(reason)")
    }
    return tensors[name]
  }

  /// All tensors, or the first that cannot be held as an error.
  ///
  /// - Throws: `FileError.malformed`.
  public func allTensors() throws -> [String: Tensor] {
    for name in names { _ = try tensorIfAny(name) }
    return tensors
  }

  private init(
    name: String, byteCount: Int, read: (Int, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    func malformed(_ reason: String) -> FileError { .malformed(path: name, reason: reason) }
    /// What has no header of ours may be a file of another format.
    func headless(_ reason: String) throws -> FileError {
      try malformed(ForeignFile.name(bytes(at: 0, count: min(64, byteCount))) ?? reason)
    }
    func bytes(at offset: Int, count: Int) throws -> [UInt8] {
      try MemoryAllowance.current.require(byteCount: count)
      return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        if count > 0 { try read(offset, UnsafeMutableRawBufferPointer(buffer)) }
        initialized = count
      }
    }
    guard byteCount >= 8 else {
      throw try headless("it has \(byteCount) bytes, the header's length alone takes 8")
    }
    let stated = try bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard stated <= UInt64(Safetensors.maximumHeaderBytes) else {
      throw try headless(
        "its header would have \(stated) bytes, at most \(Safetensors.maximumHeaderBytes) are accepted")
    }
    let headerBytes = Int(stated)
    guard headerBytes <= byteCount - 8 else {
      throw try headless(
        "its header would have \(headerBytes) bytes, the file has \(byteCount - 8) after the length")
    }
    let header: JSONValue
    do {
      header = try JSONValue(parsing: bytes(at: 8, count: headerBytes))
    } catch let error as JSONValue.SyntaxError {
      throw try headless("its header is not valid: \(error)")
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
    var unreadable: [String: String] = [:]
    for entry in entries {
      switch try entry.tensor({ try read(8 + headerBytes + $0, $1) }, malformed) {
      case .success(let tensor): tensors[entry.name] = tensor
      case .failure(let refusal): unreadable[entry.name] = refusal.reason
      }
    }
    self.path = name
    self.metadata = metadata
    self.tensors = tensors
    self.unreadable = unreadable
    self.names = entries.map(\.name)
    self.dataBytes = dataBytes
  }
}

/// What the header says about one tensor, validated.
private struct Entry {
  let name: String
  let type: StoredType
  let shape: [Int]
  let begin: Int
  let end: Int

  /// Why a tensor that is well-formed cannot be held.
  struct Refusal: Error {
    var reason: String
  }

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
    guard let type = StoredType(rawValue: dtype) else {
      let known = StoredType.allCases.map(\.rawValue).joined(separator: ", ")
      throw malformed("tensor '\(name)' has dtype \(dtype); the format has \(known)")
    }
    if let extent = shape.first(where: { $0 < 0 }) {
      throw malformed("tensor '\(name)' has the shape \(shape): extent \(extent), at least 0 is needed")
    }
    let (begin, end) = (offsets[0], offsets[1])
    guard begin >= 0, begin <= end, end <= dataBytes else {
      throw malformed(
        "tensor '\(name)' has data_offsets [\(begin), \(end)], the file has \(dataBytes) bytes of data")
    }
    let bytes = type.byteCount(of: shape)
    guard end - begin == bytes else {
      throw malformed(
        "tensor '\(name)' of shape \(shape) and dtype \(dtype) needs "
          + (bytes.map { "\($0) bytes" } ?? "a number of bytes that overflows or is not whole")
          + ", its data_offsets span \(end - begin)")
    }
    self.type = type
    self.shape = shape
    self.begin = begin
    self.end = end
  }

  /// The tensor, from `read` at offsets of the data; a refusal where none can hold it.
  ///
  /// - Throws: what `read` throws, `malformed` for values that the type does not have, `MemoryError`.
  func tensor(
    _ read: (Int, UnsafeMutableRawBufferPointer) throws -> Void, _ malformed: (String) -> FileError
  ) throws -> Result<Tensor, Refusal> {
    guard let elementType = type.elementType else {
      return .failure(Refusal(reason: "has dtype \(type.rawValue), which no tensor here holds"))
    }
    do { _ = try Tensor.validatedCount(of: shape) } catch {
      return .failure(Refusal(reason: "cannot be held: \(error)"))
    }
    var tensor = try Tensor(uninitialized: shape, elementType: elementType)
    if elementType.byteCount == type.bits / 8 {
      let byteCount = tensor.byteCount
      let strange: UInt8? = try tensor.withUnsafeMutableRawPointer { pointer in
        let buffer = UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
        try read(begin, buffer)
        return elementType == .bool ? buffer.first { $0 > 1 } : nil
      }
      if let strange {
        throw malformed("tensor '\(name)' is BOOL and holds the byte \(strange), only 0 and 1 are possible")
      }
      if type == .uint64 {
        if let large = tensor.values(as: Int64.self).first(where: { $0 < 0 }) {
          let value = UInt64(bitPattern: large)
          return .failure(Refusal(reason: "is U64 and holds \(value), at most \(Int64.max) can be held"))
        }
      }
      return .success(tensor)
    }
    let stored = try PooledBuffer(byteCount: end - begin)
    try read(begin, stored.bytes)
    type.widen(UnsafeRawBufferPointer(stored.bytes), into: &tensor)
    return .success(tensor)
  }
}
