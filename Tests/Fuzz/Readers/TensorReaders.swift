import CZlib
import ConvCore
import ConvHarness
import ConvVision

extension FuzzedReader {
  /// Tensor files.
  static let safetensors = FuzzedReader(name: "safetensors") { bytes in
    let file = try SafetensorsFile(bytes: bytes)
    // What no tensor of ours can hold is named, and an error where it is asked for.
    let held = file.names.filter { file.tensors[$0] != nil }
    for name in file.names where file.tensors[name] == nil {
      demand((try? file.tensor(name)) == nil, "a tensor '\(name)' out of nothing")
    }
    let copy = again("a file of tensors") {
      try SafetensorsFile(
        bytes: Safetensors.encode(held.map { ($0, file.tensors[$0]!) }, metadata: file.metadata))
    }
    demand(copy.metadata == file.metadata, "other metadata")
    demand(Set(copy.names) == Set(held) && copy.names.count == held.count, "other names")
    for (name, tensor) in file.tensors {
      demand(isSame(tensor, copy.tensors[name]!), "another tensor '\(name)'")
    }
  }

  /// Reference cases in tensor files: attributes in JSON, problems and operands.
  static let reference = FuzzedReader(name: "reference") { bytes in
    let file = try ReferenceFile(path: Scratch.file("case.safetensors", bytes))
    let stored = try ReferenceCase(file)
    demand(try ConvProblem(parsing: stored.problem.description) == stored.problem, "another problem")
  }

  /// Data sets. The same bytes through gzip have to give the same, value or error.
  static let idx = FuzzedReader(name: "idx") { bytes in
    let compressed = Result { try IDX.read(ByteStream(bytes: gzip(bytes))) }
    let plain = Result { try IDX.read(ByteStream(bytes: bytes)) }
    // Of what is compressed the size is not known before, so that errors differ in their words.
    let isCompressed = bytes.starts(with: [0x1F, 0x8B])
    if !isCompressed {
      switch (plain, compressed) {
      case (.success(let a), .success(let b)): demand(isSame(a, b), "another tensor through gzip")
      case (.failure, .failure): break
      default: fatalError("plain \(plain), through gzip \(compressed)")
      }
    }
    let tensor = try plain.get()
    demand(tensor.elementType == .uint8 && (1...5).contains(tensor.rank), "no tensor of bytes")
    var copy: [UInt8] = [0, 0, 8, UInt8(tensor.rank)]
    for extent in tensor.shape { copy += (0..<4).map { UInt8(truncatingIfNeeded: extent >> (24 - 8 * $0)) } }
    copy += tensor.values(as: UInt8.self)
    demand(isSame(again("a data set") { try IDX.read(ByteStream(bytes: copy)) }, tensor), "another tensor")
  }

  private static func isSame(_ a: Tensor, _ b: Tensor) -> Bool {
    guard a.shape == b.shape, a.elementType == b.elementType else { return false }
    return a.withUnsafeRawPointer { x in
      b.withUnsafeRawPointer { y in
        UnsafeRawBufferPointer(start: x, count: a.byteCount)
          .elementsEqual(UnsafeRawBufferPointer(start: y, count: b.byteCount))
      }
    }
  }

  private static func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    let size = Int32(MemoryLayout<z_stream>.size)
    demand(
      deflateInit2_(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, zlibVersion(), size) == Z_OK,
      "zlib cannot begin")
    defer { deflateEnd(&stream) }
    var source = bytes
    var result = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 64)
    let count = source.withUnsafeMutableBufferPointer { source in
      result.withUnsafeMutableBufferPointer { result in
        (stream.next_in, stream.avail_in) = (source.baseAddress, UInt32(source.count))
        (stream.next_out, stream.avail_out) = (result.baseAddress, UInt32(result.count))
        demand(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib cannot compress")
        return result.count - Int(stream.avail_out)
      }
    }
    return Array(result[..<count])
  }
}
