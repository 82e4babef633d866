import ConvCore
import Foundation
import Testing

@Suite struct TensorTests {
  @Test(arguments: [[2, 3, 4, 5], [1, 17, 19, 33], [3, 1, 2, 2], [2, 3, 7], [1, 2, 3, 4, 5]])
  func formatsKeepTheLogicalOrder(_ shape: [Int]) throws {
    let values = (0..<shape.reduce(1, *)).map { Float($0) }
    let plain = try Tensor(values, shape: shape)
    let last = try plain.converted(to: .nhwc)
    #expect(last.values(as: Float.self) == values)
    #expect(try last.converted(to: .nchw).values(as: Float.self) == values)
    // Physical order: channels vary fastest.
    let strides = last.strides
    let index = shape.map { $0 - 1 }
    let place = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
    #expect(last.withUnsafePointer(as: Float.self) { $0[place] } == values.last)
    if shape[1] > 1 {
      #expect(strides[1] == 1)
      let second = last.withUnsafePointer(as: Float.self) { $0[1] }
      #expect(second == values[shape.dropFirst(2).reduce(1, *)])
    }
  }

  @Test func bytesAndDoublesAreTransposedToo() throws {
    let bytes = (0..<60).map { UInt8($0) }
    #expect(try Tensor(bytes, shape: [1, 3, 4, 5], format: .nhwc).values(as: UInt8.self) == bytes)
    let doubles = (0..<60).map { Double($0) }
    #expect(try Tensor(doubles, shape: [1, 3, 4, 5], format: .nhwc).values(as: Double.self) == doubles)
  }

  @Test func writesDoNotShowInCopies() throws {
    let original = try Tensor([1, 2, 3] as [Float], shape: [3])
    var copy = original
    #expect(copy.revision == original.revision)
    copy.withUnsafeMutablePointer(as: Float.self) { $0[0] = 9 }
    #expect(original.values(as: Float.self) == [1, 2, 3])
    #expect(copy.values(as: Float.self) == [9, 2, 3])
    #expect(copy.revision != original.revision)
  }

  @Test func shapesThatCannotBeAreErrors() {
    #expect(throws: ConvError.self) { try Tensor.zeros([1, 2, 3, 4, 5, 6]) }
    #expect(throws: ConvError.self) { try Tensor.zeros([0, -1]) }
    #expect(throws: ConvError.self) { try Tensor.zeros([0, 1 << 40, 1 << 40]) }
    #expect(throws: ConvError.self) { try Tensor.zeros([-1]) }
    #expect(throws: ConvError.self) { try Tensor.zeros([Int.max, 3]) }
    #expect(throws: ConvError.self) { try Tensor.zeros([1 << 61], elementType: .float64) }
    #expect(throws: MemoryError.self) { try Tensor.zeros([1 << 55]) }
    #expect(throws: ConvError.self) { try Tensor([1, 2, 3] as [Float], shape: [2, 2]) }
    #expect(throws: ConvError.self) { try Tensor([1, 2, 3, 4] as [Float], shape: [4]).reshaped(to: [3]) }
  }

  @Test func scalarsReshapesAndConversions() throws {
    #expect(try Tensor(scalar: 3.5).scalar(as: Double.self) == 3.5)
    let tensor = try Tensor((0..<24).map { Float($0) }, shape: [2, 3, 2, 2], format: .nhwc)
    let flat = try tensor.reshaped(to: [2, 12])
    #expect(flat.values(as: Float.self) == (0..<24).map { Float($0) })
    #expect(try tensor.converted(to: .float64).values(as: Double.self) == (0..<24).map { Double($0) })
    #expect(throws: ConvError.self) { try tensor.converted(to: .bool) }
  }
}

/// Tensors without elements.
@Suite struct EmptyTensorTests {
  @Test(
    arguments: [[0], [0, 3, 8, 8], [2, 0, 3], [2, 3, 0, 5], [0, 0], [1, 2, 3, 4, 0]], MemoryFormat.allCases)
  func exist(_ shape: [Int], _ format: MemoryFormat) throws {
    let tensor = try Tensor.zeros(shape, format: format)
    #expect(tensor.count == 0 && tensor.byteCount == 0 && tensor.shape == shape)
    #expect(tensor.values(as: Float.self).isEmpty)
    #expect(try Tensor([Int64](), shape: shape, format: format).values(as: Int64.self).isEmpty)
    for other in MemoryFormat.allCases { #expect(try tensor.converted(to: other).shape == shape) }
    #expect(try tensor.reshaped(to: [7, 0]).shape == [7, 0])
    #expect(try tensor.converted(to: .float64).elementType == .float64)
    #expect("\(tensor)".hasPrefix("Tensor([], shape: \(shape), float32"))
    var copy = tensor
    copy.withUnsafeMutablePointer(as: Float.self) { _ in }
    #expect(copy.revision != tensor.revision)
    #expect(throws: ConvError.self) { try tensor.reshaped(to: [1]) }
    #expect(throws: ConvError.self) { try Tensor([1 as Float], shape: shape) }
  }

  @Test func filesHoldThem() throws {
    let tensors = [
      ("empty", try Tensor.zeros([0, 4])), ("full", try Tensor([1, 2] as [Float], shape: [2])),
      ("last", try Tensor([Int64](), shape: [3, 0])),
    ]
    let path = FileManager.default.temporaryDirectory.appending(path: "empty-\(UUID()).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(tensors, to: path)
    let read = try SafetensorsFile(path: path).tensors
    #expect(read["empty"]?.shape == [0, 4] && read["last"]?.shape == [3, 0])
    #expect(read["last"]?.elementType == .int64)
    #expect(read["full"]?.values(as: Float.self) == [1, 2])
  }

  /// Zeros behind what there is, and what lies beyond is left out.
  @Test(arguments: MemoryFormat.allCases) func resized(_ format: MemoryFormat) throws {
    let tensor = try Tensor((1...12).map { Float($0) }, shape: [1, 2, 2, 3], format: format)
    let other = try tensor.resized(to: [2, 2, 1, 4])
    #expect(other.format == format)
    #expect(other.values(as: Float.self) == [1, 2, 3, 0, 7, 8, 9, 0] + [Float](repeating: 0, count: 8))
    #expect(try tensor.resized(to: [1, 3, 2, 1]).values(as: Float.self) == [1, 4, 7, 10, 0, 0])
    #expect(try tensor.resized(to: [0, 2, 2, 3]).count == 0)
    #expect(throws: ConvError.self) { try tensor.resized(to: [12]) }
  }
}
