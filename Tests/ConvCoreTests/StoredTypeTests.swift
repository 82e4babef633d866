import ConvTestSupport
import Testing

@testable import ConvCore

/// Element types and shapes of safetensors files that are not tensors' own, and files of other formats.
@Suite struct StoredTypeTests {
  /// A file of one tensor of `type` beside one of float32 that holds 1.
  private func file(_ type: String, _ shape: [Int], _ bytes: [UInt8]) throws -> SafetensorsFile {
    let header =
      #"{"f":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"\#(type)","shape":\#(shape),"#
      + #""data_offsets":[4,\#(4 + bytes.count)]}}"#
    let whole = SafetensorsTests.file(header) + [0, 0, 0x80, 0x3F] + bytes
    return try SafetensorsFile(bytes: whole, name: "w.safetensors")
  }

  private func bytes<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
    values.flatMap { value in
      (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * Value($0))) }
    }
  }

  /// By IEEE 754's formula for each of the 65536, not by shifts.
  @Test func everyHalfIsTheSameFloat() throws {
    let halves = (0...UInt16.max).map { $0 }
    let tensor = try file("F16", [256, 256], bytes(halves)).tensor("t")
    #expect(tensor.shape == [256, 256] && tensor.elementType == .float32)
    for (half, value) in zip(halves, tensor.values(as: Float.self)) {
      let (sign, exponent, fraction) = (half >> 15, Int(half >> 10) % 32, Double(half % 1024))
      if exponent == 31 && fraction > 0 {
        #expect(value.isNaN, "\(half)")
        continue
      }
      var expected = Double.infinity
      if exponent == 0 { expected = fraction / 16_777_216 }
      if (1...30).contains(exponent) {
        expected = 1 + fraction / 1024
        for _ in 0..<abs(exponent - 15) { expected = exponent > 15 ? expected * 2 : expected / 2 }
      }
      #expect(Double(value) == (sign == 1 ? -expected : expected), "\(half)")
      #expect(value.sign == (sign == 1 ? .minus : .plus), "\(half)")
    }
  }

  @Test func bfloatsAreTheUpperHalvesOfFloats() throws {
    // 1, −2.5, 3.389e38, the smallest subnormal bfloat16, −∞, −0.
    let stored: [UInt16] = [0x3F80, 0xC020, 0x7F7F, 0x0001, 0xFF80, 0x8000]
    let values = try file("BF16", [6], bytes(stored)).tensor("t").values(as: Float.self)
    #expect(values == [1, -2.5, 0x1.FEp127, 0x1p-133, -.infinity, 0] && values[5].sign == .minus)
    let file = try file("BF16", [1], [0x80, 0x3F])
    #expect(try file.allTensors().count == 2 && file.names == ["f", "t"] && file.dataBytes == 6)
    #expect(try file.tensor("f").values(as: Float.self) == [1])
  }

  @Test func integersBecomeInt64() throws {
    func values(_ type: String, _ bytes: [UInt8], _ count: Int) throws -> [Int64] {
      try file(type, [count], bytes).tensor("t").values(as: Int64.self)
    }
    #expect(try values("I8", [0x80, 0xFF, 0x7F], 3) == [-128, -1, 127])
    #expect(try values("I16", bytes([Int16.min, -1, 300]), 3) == [-32768, -1, 300])
    #expect(try values("U16", bytes([UInt16.max, 1]), 2) == [65535, 1])
    #expect(try values("I32", bytes([Int32.min, 7]), 2) == [-2_147_483_648, 7])
    #expect(try values("U32", bytes([UInt32.max, 0]), 2) == [4_294_967_295, 0])
    #expect(try values("U64", bytes([UInt64(Int64.max), 3]), 2) == [.max, 3])
  }

  /// What no tensor holds does not keep the rest from being read.
  @Test(arguments: [
    ("F8_E4M3", [3], 3, "has dtype F8_E4M3"), ("F8_E5M2", [2, 2], 4, "has dtype F8_E5M2"),
    ("F8_E8M0", [1], 1, "has dtype F8_E8M0"), ("F4", [4], 2, "has dtype F4"),
    ("F6_E2M3", [4], 3, "has dtype F6_E2M3"), ("C64", [1], 8, "has dtype C64"),
    ("F32", [1, 1, 1, 1, 1, 1], 4, "rank 6"), ("U64", [1], 8, "holds 18446744073709551615"),
    ("F32", [0, 4_294_967_296, 4_294_967_296], 0, "overflows"),
  ])
  func theRestIsRead(_ type: String, _ shape: [Int], _ byteCount: Int, _ words: String) throws {
    let file = try file(type, shape, [UInt8](repeating: 255, count: byteCount))
    #expect(try file.tensor("f").values(as: Float.self) == [1])
    #expect(file.tensors.keys.sorted() == ["f"] && file.names.contains("t"))
    for read in [{ _ = try file.tensor("t") }, { _ = try file.allTensors() }] as [() throws -> Void] {
      #expect { try read() } throws: {
        "\($0)".hasPrefix("w.safetensors: malformed: tensor 't' ") && "\($0)".contains(words)
      }
    }
  }

  @Test(arguments: ["F32", "F64", "BF16", "I8", "I64", "BOOL", "U8"])
  func tensorsWithoutElements(_ type: String) throws {
    for shape in [[0], [0, 3], [2, 0, 4]] {
      let tensor = try file(type, shape, []).tensor("t")
      #expect(tensor.shape == shape && tensor.count == 0)
    }
    // In the middle of the data, and alone in a file.
    let middle =
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
      + #""b":{"dtype":"F32","shape":[0,3],"data_offsets":[1,1]},"#
      + #""c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#
    let file = try SafetensorsFile(bytes: SafetensorsTests.file(middle) + [5, 6])
    #expect(try file.tensor("b").shape == [0, 3] && file.tensor("c").values(as: UInt8.self) == [6])
    let written = try Safetensors.encode([("e", file.tensor("b")), ("x", file.tensor("a"))])
    #expect(try SafetensorsFile(bytes: written).tensor("e").shape == [0, 3])
  }

  @Test func conversionsThatKeepEveryValue() throws {
    let large = try Tensor([1, -16_777_216, 16_777_217] as [Int64], shape: [3])
    #expect {
      try large.exactly(as: .float32, what: "'w'")
    } throws: { "\($0)" == "'w' holds the integer 16777217, which is no float32" }
    #expect(
      try large.exactly(as: .float64, what: "w").values(as: Double.self) == [1, -16_777_216, 16_777_217])
    let small = try Tensor([3, 255, 0] as [Int64], shape: [3])
    #expect(try small.exactly(as: .float32, what: "w").values(as: Float.self) == [3, 255, 0])
    #expect(try small.exactly(as: .uint8, what: "w").values(as: UInt8.self) == [3, 255, 0])
    #expect(throws: ConvError.self) { try large.exactly(as: .uint8, what: "w") }
    let truths = try Tensor([true, false], shape: [2])
    #expect(try truths.exactly(as: .float32, what: "w").values(as: Float.self) == [1, 0])
    #expect(try truths.exactly(as: .int64, what: "w").values(as: Int64.self) == [1, 0])
    let edges = try Tensor([Int64.max, Int64.min], shape: [2])
    #expect(throws: ConvError.self) { try edges.exactly(as: .float64, what: "w") }
    let double = try Tensor([0.5], shape: [1])
    for type in [ElementType.float32, .int64] {
      #expect(throws: ConvError.elementTypeMismatch(what: "w", expected: type, found: .float64)) {
        try double.exactly(as: type, what: "w")
      }
    }
  }

  @Test(
    arguments: [
      ([0x50, 0x4B, 3, 4, 20, 0, 0, 0, 0, 0, 0x80, 2], "it is a zip archive, as PyTorch's .pt"),
      ([0x50, 0x4B, 5, 6, 0, 0], "it is a zip archive"),
      (
        [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E],
        "a Python pickle"
      ),
      ([0x80, 4, 0x95, 12, 0, 0, 0, 0, 0, 0, 0, 0x7D, 0x94, 0x2E], "a Python pickle"),
      ([0x80, 3, 0x7D], "a Python pickle"), (Array("(dp0\nS'a'\np1\nF1.0\ns.".utf8), "a Python pickle"),
      (Array("ccollections\nOrderedDict\n".utf8), "a Python pickle"),
      (Array("version https://git-lfs.github.com/spec/v1\noid sha256:00".utf8), "a Git LFS pointer"),
    ] as [([UInt8], String)])
  func otherFormatsAreNamed(_ start: [UInt8], _ words: String) {
    for rest in [0, 400] {
      let bytes = start + [UInt8](repeating: 0, count: rest)
      #expect { try SafetensorsFile(bytes: bytes, name: "w.pt") } throws: { error in
        let text = "\(error)"
        return text.hasPrefix("w.pt: malformed: it is ") && text.contains(words)
          && text.contains(words.contains("LFS") ? "git lfs pull" : "save_file(torch.load(")
      }
    }
  }

  /// A header of 0x280 bytes begins as a pickle of protocol 2 does.
  @Test func lengthsThatLookLikePickles() throws {
    let header = #"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    let padded = header + String(repeating: " ", count: 0x280 - header.utf8.count)
    let bytes = SafetensorsTests.file(padded) + [9]
    #expect(bytes[0] == 0x80 && bytes[1] == 2)
    #expect(try SafetensorsFile(bytes: bytes).tensor("t").values(as: UInt8.self) == [9])
  }
}
