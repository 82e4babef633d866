import ConvCore
import Foundation

/// What is known of a tensor of a model: its shape, and its numbers where they are constant and few.
struct ModelValue: Equatable {
  /// Sizes, at most 32 of them, each from 0 to `largestSize`.
  let shape: [Int]
  /// The numbers in row-major order; integers beyond 2⁵³ are rounded, which only marks of "to the end" are.
  var constants: [Double]?
  /// Whether the numbers are integers, which division rounds.
  var isInteger = false
  /// The type of the elements, where it is known: of inputs, weights and what passes them on.
  var elementType: Int32?

  /// Products of two sizes fit into an integer.
  static let largestSize = 1 << 31 - 1
  /// Constants of more numbers are taken for weights, which no shape depends on; a shape has 32 sizes at most.
  static let mostConstants = 256

  /// A value of that shape.
  ///
  /// - Throws: `InferenceStop` for sizes that no tensor has.
  init(_ shape: [Int], constants: [Double]? = nil, isInteger: Bool = false) throws {
    guard shape.count <= 32 else { throw InferenceStop("a shape of \(shape.count) axes") }
    for size in shape where !(0...Self.largestSize).contains(size) {
      throw InferenceStop("a size of \(size) in the shape \(Excerpt.of(shape))")
    }
    self.shape = shape
    self.isInteger = isInteger
    if let constants, constants.count == (try Self.count(shape)), constants.count <= Self.mostConstants {
      self.constants = constants
    }
  }

  /// A list of integers.
  init(integers: [Int]) throws {
    try self.init([integers.count], constants: integers.map(Double.init), isInteger: true)
  }

  /// Number of elements.
  var count: Int { get throws { try Self.count(shape) } }

  /// Product of sizes.
  static func count(_ sizes: some Sequence<Int>) throws -> Int {
    var result = 1
    for size in sizes {
      let (product, overflow) = result.multipliedReportingOverflow(by: size)
      guard !overflow else { throw InferenceStop("more elements than can be counted") }
      result = product
    }
    return result
  }

  /// The constants as integers, nil where there are none.
  var integers: [Int]? { constants.map { $0.map(Self.clamped) } }

  /// A number as an integer; what is beyond ±2⁶² is that, not-a-number is 0.
  static func clamped(_ value: Double) -> Int {
    if value.isNaN { return 0 }
    return Int(max(-0x1p62, min(0x1p62, value)))
  }
}

/// Why a shape is not known.
struct InferenceStop: Error, Equatable {
  /// The reason, in words that follow "node 'x' (Op): ".
  let reason: String
  /// Whether `reason` already names the node that is to blame.
  var isLocated = false

  init(_ reason: String) { self.reason = reason }

  /// A stop at a node, as it is passed on.
  init(_ reason: String, at node: String) { self = InferenceStop(reason).located(at: node) }

  /// A stop at a node; one that lies further up stays as it is.
  func located(at node: String) -> InferenceStop {
    if isLocated { return self }
    var stop = InferenceStop("\(node) \(reason)")
    stop.isLocated = true
    return stop
  }
}

extension ModelValue {
  /// An initializer or constant. Data in other files is not looked at: of weights the dimensions suffice.
  init(_ tensor: Onnx_TensorProto) throws {
    let shape = tensor.dims.map { Int(clamping: $0) }
    try self.init(shape)
    let count = try count
    isInteger = ElementTypes.isInteger(tensor.dataType)
    elementType = tensor.dataType
    guard count <= Self.mostConstants, tensor.dataLocation == 0 else { return }
    let numbers = Self.numbers(tensor, count: count)
    // A tensor whose data does not fit its shape has no constants; a rule that needs them says so.
    if numbers?.count == count { constants = numbers }
  }

  /// A sparse initializer or constant: its shape.
  init(_ tensor: Onnx_SparseTensorProto) throws {
    try self.init(tensor.dims.map { Int(clamping: $0) })
    isInteger = ElementTypes.isInteger(tensor.values.dataType)
    elementType = tensor.values.dataType
  }

  private static func numbers(_ tensor: Onnx_TensorProto, count: Int) -> [Double]? {
    let raw = tensor.rawData
    func read<T: BitwiseCopyable>(_: T.Type, _ convert: (T) -> Double) -> [Double]? {
      guard raw.count == count * MemoryLayout<T>.size else { return nil }
      return raw.withUnsafeBytes { bytes in
        (0..<count).map {
          convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
        }
      }
    }
    let hasRaw = tensor.hasRawData
    switch tensor.dataType {
    case 1: return hasRaw ? read(Float.self) { Double($0) } : tensor.floatData.map(Double.init)
    case 11: return hasRaw ? read(Double.self) { $0 } : tensor.doubleData
    case 7: return hasRaw ? read(Int64.self) { Double($0) } : tensor.int64Data.map(Double.init)
    case 6: return hasRaw ? read(Int32.self) { Double($0) } : tensor.int32Data.map(Double.init)
    case 2, 9: return hasRaw ? read(UInt8.self) { Double($0) } : tensor.int32Data.map(Double.init)
    case 3: return hasRaw ? read(Int8.self) { Double($0) } : tensor.int32Data.map(Double.init)
    default: return nil
    }
  }
}
