import ConvAutograd
import ConvCore
import ConvTestSupport
import Testing

@testable import ConvNN

/// What loads into a module: weights of other element types, and batch normalisations from before they counted batches.
@Suite struct StateDictionaryTests {
  private final class Block: Module {
    let norm: BatchNorm2d
    let conv: any Module

    init() throws {
      norm = try BatchNorm2d(2)
      conv = try Conv2d(1, 2, kernelSize: 1)
    }

    func forward(_ x: Variable) throws -> Variable { try norm(conv(x)) }
  }

  private static func count(_ norm: BatchNorm2d) -> Int64 { norm.batchesTracked.value.scalar() }

  private func words(_ body: () throws -> Void) -> String {
    do {
      try body()
      return ""
    } catch { return "\(error)" }
  }

  /// As PyTorch does for state dictionaries without a version, with strict=True.
  @Test func countersMayBeMissing() throws {
    let norm = try BatchNorm2d(2)
    for _ in 0..<3 {
      _ = try norm(Variable(Tensor([1, 2, 3, 5] as [Float], shape: [2, 2, 1, 1])))
    }
    #expect(Self.count(norm) == 3)
    var state = norm.stateDict()
    state["num_batches_tracked"] = nil
    state["running_mean"] = try Tensor([7, 8] as [Float], shape: [2])
    try norm.loadStateDict(state)
    #expect(Self.count(norm) == 3, "it stays as it is")
    #expect(norm.runningMean.value.values(as: Float.self) == [7, 8])
  }

  @Test func countersMayBeMissingFarBelow() throws {
    let blocks = [try Block(), try Block()]
    let net = Sequential([Sequential([blocks[0]]), blocks[1]])
    var state = net.stateDict()
    for key in ["0.0.norm.num_batches_tracked", "1.norm.num_batches_tracked"] {
      #expect(state.removeValue(forKey: key) != nil)
    }
    state["1.norm.weight"] = try Tensor([3, 4] as [Float], shape: [2])
    try net.loadStateDict(state)
    #expect(blocks[1].norm.weight?.value.values(as: Float.self) == [3, 4])
    // Nothing else may be missing, and nothing be left over.
    for key in state.keys.sorted() {
      var fewer = state
      fewer[key] = nil
      #expect(
        words { try net.loadStateDict(fewer) } == "the state dictionary does not fit: missing \(key)",
        "\(key)")
    }
    var more = state
    more["1.num_batches_tracked"] = try Tensor(scalar: Int64(1))
    #expect(words { try net.loadStateDict(more) }.contains("unexpected 1.num_batches_tracked"))
  }

  /// A counter is loaded where it is there, and a buffer of that name elsewhere is none.
  @Test func countersAreNoWeakening() throws {
    final class Counting: Module {
      let tracked = Buffer(try! Tensor(scalar: Int64(0)))
      var members: [ModuleMember] { [ModuleMember("num_batches_tracked", .buffer(tracked))] }
      func forward(_ x: Variable) throws -> Variable { x }
    }
    #expect(words { try Counting().loadStateDict([:]) }.contains("missing num_batches_tracked"))
    let norm = try BatchNorm2d(2)
    var state = norm.stateDict()
    state["num_batches_tracked"] = try Tensor(scalar: Int64(41))
    try norm.loadStateDict(state)
    #expect(Self.count(norm) == 41)
    // The next batch counts on, also where no larger number is left.
    state["num_batches_tracked"] = try Tensor(scalar: Int64.max)
    try norm.loadStateDict(state)
    _ = try norm(Variable(Tensor([1, 2, 3, 5] as [Float], shape: [2, 2, 1, 1])))
    #expect(Self.count(norm) == .min)
  }

  /// A safetensors file with tensors of other types than the module's.
  private func file(_ entries: [(name: String, type: String, shape: [Int], bytes: [UInt8])]) -> [UInt8] {
    var offset = 0
    let members = entries.map { entry in
      defer { offset += entry.bytes.count }
      return "\"\(entry.name)\":{\"dtype\":\"\(entry.type)\",\"shape\":\(entry.shape),"
        + "\"data_offsets\":[\(offset),\(offset + entry.bytes.count)]}"
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
      + entries.flatMap(\.bytes)
  }

  @Test func weightsOfOtherTypesAreWidened() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/w.safetensors"
      func load(
        _ weight: (type: String, bytes: [UInt8]),
        extra: [(name: String, type: String, shape: [Int], bytes: [UInt8])] = [],
        strict: Bool = true
      ) throws -> [Float] {
        let layer = try Linear(2, 1)
        let bias: (name: String, type: String, shape: [Int], bytes: [UInt8]) = (
          "bias", "F16", [1], [0, 0x3E]
        )
        try AtomicFile.write(
          file([("weight", weight.type, [1, 2], weight.bytes), bias] + extra), to: path)
        try layer.load(from: path, strict: strict)
        let state = layer.stateDict()
        #expect(state["weight"]?.elementType == .float32)
        return state["weight"]!.values(as: Float.self) + state["bias"]!.values(as: Float.self)
      }
      // 2²⁴ has a float32.
      let weights: [(type: String, bytes: [UInt8], values: [Float])] = [
        ("BF16", [0x80, 0x3F, 0x20, 0xC0], [1, -2.5]), ("F16", [0, 0x3C, 0, 0xC1], [1, -2.5]),
        ("I8", [3, 0xFF], [3, -1]), ("BOOL", [1, 0], [1, 0]), ("U8", [200, 0], [200, 0]),
        ("I32", [0, 0, 0, 1, 2, 0, 0, 0], [16_777_216, 2]),
      ]
      for (type, bytes, values) in weights {
        let found = try load((type, bytes))
        #expect(found == values + [1.5], "\(type)")
      }
      // 2²⁴ + 1 has none.
      #expect(
        words { _ = try load(("I32", [1, 0, 0, 1, 2, 0, 0, 0])) }
          == "'weight' of the state dictionary holds the integer 16777217, which is no float32")
      #expect(words { _ = try load(("F8_E4M3", [0, 0])) }.contains("tensor 'weight' has dtype F8_E4M3"))
      // Beside the module's own: unexpected where all keys have to fit, else no matter.
      let extra = [(name: "scale", type: "F8_E5M2", shape: [1], bytes: [UInt8(0)])]
      #expect(
        words { _ = try load(("BF16", [0, 0, 0, 0]), extra: extra) }.contains("'scale' has dtype F8_E5M2"))
      #expect(try load(("BF16", [0x80, 0x3F, 0, 0]), extra: extra, strict: false) == [1, 0, 1.5])
    }
  }
}
