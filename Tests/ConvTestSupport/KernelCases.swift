internal import CConvKernels
import ConvCore

/// One row of a kernel family's table on one instruction set: the argument of a parametrised test.
public struct KernelCase<Row: Sendable>: Sendable, CustomStringConvertible {
  /// The instruction set, one that this CPU has.
  public let set: InstructionSet
  /// Sizes, strides and options, as the family's table gives them.
  public let row: Row

  /// The first argument of the C entry points.
  public var kernels: OpaquePointer {
    guard let kernels = vb_kernels_named(set.rawValue) else {
      preconditionFailure("\(set) is available, but has no kernels")
    }
    return kernels
  }

  /// Elements of one vector.
  public func lanes<T>(_: T.Type) -> Int { set.vectorBytes / MemoryLayout<T>.stride }

  /// What a failure names.
  public var description: String { "\(set) \(row)" }

  /// Every row of a table on every instruction set that this CPU has.
  public static func all(_ rows: [Row]) -> [KernelCase] {
    InstructionSet.available.flatMap { set in rows.map { KernelCase(set: set, row: $0) } }
  }

  /// Lengths at which loops over vectors end in all their ways: each up to two vectors and one, then around
  /// four, eight and sixteen.
  public func lengths<T>(_: T.Type) -> [Int] {
    let lanes = lanes(T.self)
    return Array(0...2 * lanes + 1) + [4, 8, 16].flatMap { [$0 * lanes - 1, $0 * lanes, $0 * lanes + 1] }
  }
}

/// Values of which sums and products round nothing, so that every order of a sum gives the same bits.
public enum KernelValues {
  /// Integers in -4...4. Every `special`-th or so is NaN, an infinity or -0 in turn; none when that is 0.
  public static func integers<T: ConvScalar>(
    _ count: Int, seed: UInt64, special: Int = 0, _: T.Type = T.self
  ) -> [T] {
    let philox = Philox(seed: seed, stream: 77)
    let specials: [T] = [.nan, .infinity, -T.zero, -.infinity]
    return (0..<count).map { i in
      let word = philox.word(at: UInt64(i))
      if special > 0, word % UInt32(special) == 0 { return specials[Int(word / UInt32(special) % 4)] }
      return T(Int(word >> 8) % 9 - 4)
    }
  }
}

/// Operands of one kernel call, each between guard elements that nobody may read (NaN) or write, at addresses
/// that no vector is aligned to.
///
/// The memory lives as long as this object; results are judged through it, so it outlives the call.
public final class KernelMemory {
  private struct Block {
    let base: UnsafeMutableRawPointer
    /// Bytes as they have to be afterwards; nil within a result.
    let before: [UInt8]
    let content: Range<Int>
    let isResult: Bool
  }

  private var blocks: [UnsafeMutableRawPointer: Block] = [:]
  /// Guard elements on each side: more than a vector and odd.
  private static let margin = 67

  public init() {}

  deinit { for block in blocks.values { block.base.deallocate() } }

  /// What a kernel only reads, between NaNs.
  public func input<T: ConvScalar>(_ values: [T]) -> UnsafeMutablePointer<T> {
    place(values, between: T.nan, isResult: false)
  }

  /// What a kernel reads, of any type.
  public func input<T>(_ values: [T], between guards: T) -> UnsafeMutablePointer<T> {
    place(values, between: guards, isResult: false)
  }

  /// What a kernel writes, as it is before, between numbers that have to stay.
  public func result<T: Numeric>(_ before: [T]) -> UnsafeMutablePointer<T> {
    place(before, between: 93, isResult: true)
  }

  private func place<T>(
    _ values: [T], between guards: T, isResult: Bool
  ) -> UnsafeMutablePointer<T> {
    let margin = [T](repeating: guards, count: Self.margin)
    let all = margin + values + margin
    let bytes = all.withUnsafeBytes { Array($0) }
    let base = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
    base.copyMemory(from: bytes, byteCount: bytes.count)
    let first = Self.margin * MemoryLayout<T>.stride
    let content = first..<first + values.count * MemoryLayout<T>.stride
    blocks[base + first] = Block(base: base, before: bytes, content: content, isResult: isResult)
    return (base + first).assumingMemoryBound(to: T.self)
  }

  /// The elements of an operand as they are now.
  public func values<T>(_ operand: UnsafeMutablePointer<T>) -> [T] {
    guard let block = blocks[UnsafeMutableRawPointer(operand)] else { return [] }
    return Array(
      UnsafeBufferPointer(start: operand, count: block.content.count / MemoryLayout<T>.stride))
  }

  /// What was written where nothing may be written: beside operands, and within those that are only read.
  public var damage: String? {
    for block in blocks.values {
      for i in block.before.indices where !(block.isResult && block.content.contains(i)) {
        if block.base.load(fromByteOffset: i, as: UInt8.self) != block.before[i] {
          let place = i < block.content.lowerBound ? "before" : i < block.content.upperBound ? "in" : "behind"
          let operand = block.isResult ? "a result" : "an input"
          return "wrote \(place) \(operand) at byte \(i - block.content.lowerBound)"
        }
      }
    }
    return nil
  }

  /// The first difference of a result to `expected`, bit by bit but that one NaN is as good as another; nil
  /// when there is none and nothing is damaged.
  public func difference<T: ConvScalar>(
    _ result: UnsafeMutablePointer<T>, from expected: [T]
  ) -> String? {
    difference(result, from: expected) { a, b in
      a.isNaN || b.isNaN ? a.isNaN && b.isNaN : a == b && a.sign == b.sign
    }
  }

  /// The same of integers.
  public func difference<T: FixedWidthInteger>(
    _ result: UnsafeMutablePointer<T>, from expected: [T]
  ) -> String? {
    difference(result, from: expected, areSame: ==)
  }

  private func difference<T>(
    _ result: UnsafeMutablePointer<T>, from expected: [T], areSame: (T, T) -> Bool
  ) -> String? {
    let found = values(result)
    guard found.count == expected.count else { return "\(found.count) elements, \(expected.count) expected" }
    for i in found.indices where !areSame(found[i], expected[i]) {
      return "[\(i)] is \(found[i]), expected \(expected[i])"
    }
    return damage
  }
}

/// max(x, 0) as kernels define it: NaN and -0 stay.
public func rectified<T: ConvScalar>(_ x: T) -> T { x < 0 ? 0 : x }
