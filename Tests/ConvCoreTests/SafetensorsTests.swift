import Testing

@testable import ConvCore

/// Seeded random numbers for mutations (splitmix64), independent of the code under test.
struct MutationGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

@Suite struct SafetensorsTests {
  static func sample() throws -> [(String, Tensor)] {
    [
      ("mask", try Tensor([true, false, true], shape: [3])),
      ("image", try Tensor([UInt8](0..<12), shape: [1, 3, 2, 2], format: .nhwc)),
      ("weight", try Tensor([1.5, -2, .infinity, 0x1p-149, 0, -0.0] as [Float], shape: [2, 3])),
      ("loss", try Tensor(scalar: 0.1)),
      ("labels \"é\"\n", try Tensor([Int64.min, -1, .max], shape: [3])),
    ]
  }

  /// A file with this header and this many bytes of data.
  static func file(_ header: String, data: Int = 0) -> [UInt8] {
    let text = Array(header.utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
      + [UInt8](repeating: 0, count: data)
  }

  /// Garbled files, and words that the error must contain.
  static let garbled: [(what: String, bytes: [UInt8], expected: String)] = [
    ("7 bytes", [UInt8](repeating: 0, count: 7), "7 bytes"),
    ("no header", [UInt8](repeating: 0, count: 8), "the text ends"),
    ("length beyond the file", [9, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D], "9 bytes, the file has 2"),
    ("length of 2^64 - 1", [UInt8](repeating: 255, count: 16), "18446744073709551615"),
    ("not JSON", file("{\"a\":}"), "byte 5"),
    ("an array", file("[]"), "not a JSON object"),
    ("two texts", file("{}{}"), "after the value"),
    ("deep", file(String(repeating: "[", count: 10_000)), "deeper"),
    ("metadata of numbers", file(#"{"__metadata__":{"a":1}}"#), "'a' is not a string"),
    ("metadata no object", file(#"{"__metadata__":[]}"#), "__metadata__"),
    ("missing key", file(#"{"t":{"dtype":"F32","shape":[1]}}"#, data: 4), "data_offsets"),
    ("unknown key", file(#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#, data: 1), "'x'"),
    (
      "dtype", file(#"{"t":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, data: 4),
      "'t' has dtype F33; the format has F32, F64, I64, U8, BOOL, F16, BF16"
    ),
    (
      "zero extent with data", file(#"{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}}"#, data: 4),
      "needs 0 bytes, its data_offsets span 4"
    ),
    (
      "half a byte", file(#"{"t":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, data: 1), "is not whole"
    ),
    (
      "negative extent", file(#"{"t":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, data: 1),
      "extent -1"
    ),
    (
      "count overflows",
      file(#"{"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}}"#, data: 1), "overflow"
    ),
    (
      "bytes overflow",
      file(#"{"t":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,1]}}"#, data: 1),
      "a number of bytes that overflows"
    ),
    (
      "integer too large", file(#"{"t":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}"#),
      "99999999999999999999"
    ),
    ("fraction", file(#"{"t":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#, data: 1), "shape"),
    (
      "lying shape", file(#"{"t":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}"#, data: 4),
      "needs 4000000000 bytes, its data_offsets span 4"
    ),
    ("offsets backwards", file(#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}}"#, data: 4), "[2, 1]"),
    (
      "offsets negative", file(#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}"#, data: 4), "[-1, 0]"
    ),
    (
      "offsets outside", file(#"{"t":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}"#, data: 4),
      "4 bytes of data"
    ),
    (
      "overlap",
      file(
        #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        data: 4), "overlaps"
    ),
    (
      "gap",
      file(
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        data: 4), "gap"
    ),
    (
      "rest", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: 4),
      "take 1 bytes, the file has 4"
    ),
    (
      "the same name twice",
      file(
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
      ),
      "'a' appears twice"
    ),
    (
      "a Boolean of 2",
      file(#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#) + [2], "holds the byte 2"
    ),
  ]

  @Test func roundTripKeepsEveryBit() throws {
    let tensors = try Self.sample()
    let metadata = ["format": "vbench-reference-1", "quote": "a\"b\\c\u{1}\n", "empty": ""]
    let bytes = try Safetensors.encode(tensors, metadata: metadata)
    let file = try SafetensorsFile(bytes: bytes)
    #expect(file.metadata == metadata)
    #expect(Set(file.names) == Set(tensors.map(\.0)))
    for (name, tensor) in tensors {
      let read = try file.tensor(name)
      #expect(read.shape == tensor.shape && read.elementType == tensor.elementType, "\(name)")
      let plain = try tensor.converted(to: .nchw)
      let same = plain.withUnsafeRawPointer { a in
        read.withUnsafeRawPointer { b in
          UnsafeRawBufferPointer(start: a, count: plain.byteCount)
            .elementsEqual(UnsafeRawBufferPointer(start: b, count: read.byteCount))
        }
      }
      #expect(same, "the bytes of \(name) changed")
    }
    #expect(try file.tensor("image").values(as: UInt8.self) == [UInt8](0..<12))
  }

  @Test func equalTensorsGiveEqualBytes() throws {
    let one = try Safetensors.encode(Self.sample(), metadata: ["a": "1", "b": "2", "c": "3"])
    let two = try Safetensors.encode(Self.sample(), metadata: ["c": "3", "b": "2", "a": "1"])
    #expect(one == two)
    // The data begin at a multiple of 8 and 8-byte types come first: every tensor is aligned.
    #expect(Int(one[0]) % 8 == 0)
    #expect(try SafetensorsFile(bytes: one).names == ["loss", "labels \"é\"\n", "weight", "mask", "image"])
  }

  /// The example of the format's documentation, byte by byte.
  @Test func readsAFileThatWasNotWrittenByUs() throws {
    let header = #"{"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"k":"v"}}   "#
    var bytes = Self.file(header)
    bytes += [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC1]
    let file = try SafetensorsFile(bytes: bytes)
    #expect(try file.tensor("w").values(as: Float.self) == [1, -10])
    #expect(file.metadata == ["k": "v"])
  }

  @Test(arguments: garbled.map(\.what))
  func refuses(_ what: String) throws {
    let (_, bytes, expected) = try #require(Self.garbled.first { $0.what == what })
    do {
      _ = try SafetensorsFile(bytes: bytes, name: "case.safetensors")
      Issue.record("\(what): no error")
    } catch let error as FileError {
      guard case .malformed = error else {
        Issue.record("\(what): \(error)")
        return
      }
      #expect("\(error)".hasPrefix("case.safetensors: malformed: "), "\(what): \(error)")
      #expect("\(error)".contains(expected), "\(what): \(error)")
    } catch {
      Issue.record("\(what): \(error)")
    }
  }

  @Test func everyTruncationIsAnError() throws {
    let bytes = try Safetensors.encode(Self.sample(), metadata: ["k": "v"])
    for count in 0..<bytes.count {
      #expect(throws: FileError.self, "the first \(count) of \(bytes.count) bytes were accepted") {
        try SafetensorsFile(bytes: Array(bytes[..<count]))
      }
    }
  }

  /// Thousands of garbled files: only success or a thrown `FileError`, never a crash.
  @Test func garbledFilesNeverCrash() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var generator = MutationGenerator(state: seed)
    let valid = try Safetensors.encode(Self.sample(), metadata: ["k": "v"])
    let headerEnd = 8 + Int(valid[0]) + Int(valid[1]) << 8
    let digits = Array("0123456789-{}[]\",:.e\\ ".utf8)
    var refused = 0
    for round in 0..<20_000 {
      var bytes = valid
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0..<headerEnd, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[min(place, bytes.count - 1)] = .random(in: 0...255, using: &generator)
        case 1: bytes[min(place, bytes.count - 1)] = digits.randomElement(using: &generator)!
        case 2: bytes.insert(digits.randomElement(using: &generator)!, at: min(place, bytes.count))
        case 3: bytes.remove(at: min(place, bytes.count - 1))
        default: bytes.removeLast(Int.random(in: 0...8, using: &generator))
        }
      }
      do {
        _ = try SafetensorsFile(bytes: bytes)
      } catch is FileError {
        refused += 1
      } catch {
        Issue.record("seed \(seed), round \(round): \(error)")
      }
    }
    #expect(refused > 10_000, "seed \(seed): only \(refused) of 20000 garbled files were refused")
  }

  @Test func namesAreCheckedWhenWriting() throws {
    let tensor = try Tensor(scalar: Float(1))
    #expect(throws: ConvError.self) { try Safetensors.encode([("a", tensor), ("a", tensor)]) }
    #expect(throws: ConvError.self) { try Safetensors.encode([("__metadata__", tensor)]) }
  }

  @Test func jsonNumbersAndEscapes() throws {
    let value = try JSONValue(parsing: #" {"a":[1,-2.5e1,true,null,"\u00e9\ud83d\ude00\/"]} "#)
    #expect(value["a"]?.array == [.integer(1), .real(-25), .bool(true), .null, .string("é😀/")])
    for bad in [
      "01", "1.", "-", "1e", "\"\\ud800\"", "\"\\x\"", "tru", "[1,]", "{\"a\":1,}", "1e999", "\"\u{1}\"",
    ] {
      #expect(throws: JSONValue.SyntaxError.self, "\(bad)") { try JSONValue(parsing: bad) }
    }
  }
}
