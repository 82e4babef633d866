import ConvCore

/// The memory that all competitors of an item work in: the operands, one result and one workspace. It moves between rounds.
///
/// The same instructions on the same numbers can take several per cent longer in other memory, because of pages that share sets
/// of a cache and of lines at equal distances within their pages (Mytkowicz, Diwan, Hauswirth, Sweeney, *Producing wrong data
/// without doing anything obviously wrong!*, 2009). Buffers that stay where they are make that a property of the whole run, which
/// no interval over its rounds can see, and buffers of their own make it one of a competitor. So everybody uses the same
/// memory, and every round has other places, by chance: what they change is in the intervals (Curtsinger, Berger,
/// *Stabilizer: statistically sound performance evaluation*, 2013).
final class PlacedMemory {
  /// A region that begins anywhere in a buffer which is larger than necessary.
  private struct Region {
    /// Room to move in: more than the sets of a second-level cache hold in one way.
    static let room = 1 << 20
    /// From here on `BufferPool` aligns buffers to pages, as users of the library get them; smaller ones to lines.
    static let pagedBytes = 2 << 20

    let buffer: PooledBuffer
    let byteCount: Int
    private(set) var start: UnsafeMutableRawPointer

    init(byteCount: Int) throws {
      let (bytes, overflow) = byteCount.addingReportingOverflow(Region.room)
      if overflow { throw MemoryError.invalidSize(byteCount: byteCount) }
      buffer = try PooledBuffer(byteCount: bytes)
      self.byteCount = byteCount
      start = buffer.baseAddress
      // Fresh pages are fetched here, not in a sample.
      buffer.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    }

    mutating func move(_ random: inout PhiloxGenerator) {
      let step = byteCount >= Region.pagedBytes ? 4096 : 64
      start = buffer.baseAddress + Int(random.uniform() * Double(Region.room / step)) * step
    }

    /// Reads every line, so that the first competitor of a round does not alone fetch it from memory.
    func touch() -> UInt8 {
      var sum: UInt8 = 0
      for offset in stride(from: 0, to: byteCount, by: 64) {
        sum &+= start.load(fromByteOffset: offset, as: UInt8.self)
      }
      return sum
    }
  }

  private let pass: ConvPass
  private let tensors: (input: Tensor, filter: Tensor, outputGradient: Tensor)
  private var first: Region
  private var second: Region
  private var result: Region
  private var scratch: Region
  private var random: PhiloxGenerator
  /// Keeps the compiler from dropping the reads of `touch`.
  private(set) var touched: UInt8 = 0

  /// Memory for one operation.
  ///
  /// - Parameters:
  ///   - tensors: operands in the operation's formats; those that the pass reads are copied with every move.
  ///   - workspaceBytes: the largest workspace of the competitors.
  ///   - seed: of the places.
  /// - Throws: `MemoryError`.
  init(
    operation: ConvOperation, tensors: (input: Tensor, filter: Tensor, outputGradient: Tensor),
    workspaceBytes: Int, seed: UInt64
  ) throws {
    pass = operation.pass
    self.tensors = tensors
    random = PhiloxGenerator(seed: seed, stream: 0x91AC)
    let resultBytes =
      operation.problem.resultShape(operation.pass).reduce(1, *) * operation.elementType.byteCount
    let (a, b) = PlacedMemory.sources(of: pass, tensors)
    first = try Region(byteCount: a.byteCount)
    second = try Region(byteCount: b.byteCount)
    result = try Region(byteCount: resultBytes)
    scratch = try Region(byteCount: workspaceBytes)
    move()
  }

  private static func sources(
    of pass: ConvPass, _ tensors: (input: Tensor, filter: Tensor, outputGradient: Tensor)
  ) -> (Tensor, Tensor) {
    switch pass {
    case .forward: (tensors.input, tensors.filter)
    case .backwardData: (tensors.filter, tensors.outputGradient)
    case .backwardFilter: (tensors.input, tensors.outputGradient)
    }
  }

  /// Moves everything to other places.
  func move() {
    first.move(&random)
    second.move(&random)
    result.move(&random)
    scratch.move(&random)
    let (a, b) = PlacedMemory.sources(of: pass, tensors)
    a.withUnsafeRawPointer { first.start.copyMemory(from: $0, byteCount: first.byteCount) }
    b.withUnsafeRawPointer { second.start.copyMemory(from: $0, byteCount: second.byteCount) }
    touched &+= result.touch() &+ scratch.touch()
  }

  /// Where the operands and the result are now.
  var operands: ConvOperands {
    switch pass {
    case .forward: ConvOperands(input: first.start, filter: second.start, output: result.start)
    case .backwardData: ConvOperands(input: result.start, filter: first.start, output: second.start)
    case .backwardFilter: ConvOperands(input: first.start, filter: result.start, output: second.start)
    }
  }

  /// Where a workspace of that many bytes is now.
  ///
  /// - Precondition: it is not more than the largest one.
  func workspace(byteCount: Int) -> UnsafeMutableRawBufferPointer {
    precondition(byteCount <= scratch.byteCount, "\(byteCount) bytes of \(scratch.byteCount)")
    return UnsafeMutableRawBufferPointer(start: scratch.start, count: byteCount)
  }

  /// Bytes of the operands and the result.
  var operandBytes: Int { first.byteCount + second.byteCount + result.byteCount }
}
