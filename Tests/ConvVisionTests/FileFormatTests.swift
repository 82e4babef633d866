import CZlib
import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvVision

/// Files that are damaged in every way: only an error or success, never a crash.
@Suite struct FileFormatTests {
  /// `gzip.compress(b"hello hello hello", mtime=0)` of Python.
  static let hello: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 87, 200, 64, 144, 0, 128, 136, 249,
    229, 17, 0, 0, 0,
  ]
  /// `gzip.compress(idx, mtime=0)` of Python, idx = an IDX file of 6×5 bytes 0, 7, 14, ….
  static let idx: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 99, 96, 224, 96, 98, 96, 96, 96, 3, 98, 86, 6, 118, 62, 81, 25,
    101, 45, 67, 11, 123, 55, 223, 144, 232, 164, 204, 130, 242, 186, 214, 158, 201, 179, 22, 174,
    88, 191, 109, 239, 145, 211, 0, 231, 40, 6, 162, 42, 0, 0, 0,
  ]

  static func plainIDX(_ shape: [UInt32], type: UInt8 = 8, data: Int) -> [UInt8] {
    [0, 0, type, UInt8(shape.count)]
      + shape.flatMap { e in (0..<4).map { UInt8(truncatingIfNeeded: e >> (24 - 8 * $0)) } }
      + [UInt8](repeating: 1, count: data)
  }

  private func everything(_ bytes: [UInt8]) throws -> [UInt8] {
    let stream = try ByteStream(bytes: bytes, name: "case.gz")
    var result: [UInt8] = []
    while true {
      // A small buffer, so that the state between two calls is exercised.
      let part = try [UInt8](unsafeUninitializedCapacity: 5) { buffer, count in
        count = try stream.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      result += part
      if part.count < 5 { return result }
    }
  }

  private func malformedReason<R>(_ what: String, _ body: () throws -> R) -> String {
    do {
      _ = try body()
      Issue.record("\(what): no error")
    } catch FileError.malformed(let path, let reason) {
      #expect(path.hasPrefix("case"), "\(what): \(path)")
      return reason
    } catch {
      Issue.record("\(what): \(error)")
    }
    return ""
  }

  @Test func gzip() throws {
    let text = Array("hello hello hello".utf8)
    #expect(try everything(Self.hello) == text)
    #expect(try everything(Self.hello + Self.hello) == text + text)
    #expect(try everything(text) == text)
    #expect(try everything([]) == [])
    for count in 2..<Self.hello.count {
      let reason = malformedReason("the first \(count) bytes") { try everything(Array(Self.hello[..<count])) }
      #expect(reason.contains("too early"), "the first \(count) bytes: \(reason)")
    }
    for place in [3, Self.hello.count - 8, Self.hello.count - 1] {
      var bytes = Self.hello
      bytes[place] ^= 0xFF
      #expect(malformedReason("byte \(place)") { try everything(bytes) }.contains("gzip data"))
    }
    #expect(malformedReason("rest") { try everything(Self.hello + [1, 2, 3]) }.contains("garbled"))
  }

  @Test func idxFiles() throws {
    let tensor = try IDX.read(ByteStream(bytes: Self.idx))
    #expect(tensor.shape == [6, 5] && tensor.elementType == .uint8)
    #expect(tensor.values(as: UInt8.self) == (0..<30).map { UInt8($0 * 7) })
    #expect(try IDX.read(ByteStream(bytes: Self.plainIDX([3], data: 3))).shape == [3])
    #expect(try IDX.read(ByteStream(bytes: Self.plainIDX([0, 28], data: 0))).shape == [0, 28])
    let cases: [(String, [UInt8], String)] = [
      ("empty", [], "ends at byte 0"),
      ("short", [0, 0, 8], "ends at byte 3"),
      ("PNG", [0x89, 0x50, 0x4E, 0x47, 0, 0, 0, 0], "89 50 4e 47"),
      ("floats", Self.plainIDX([1], type: 0x0D, data: 4), "float32"),
      ("rank 0", Self.plainIDX([], data: 1), "rank is 0"),
      ("rank 6", Self.plainIDX([1, 1, 1, 1, 1, 1], data: 1), "rank is 6"),
      ("no extents", [0, 0, 8, 3, 0, 0], "3 extents"),
      ("lying", Self.plainIDX([4, 4], data: 15), "16 elements, the file can hold at most 15"),
      ("longer", Self.plainIDX([4, 4], data: 17), "more bytes follow after the 16"),
      ("huge", Self.plainIDX([.max, .max], data: 3), "overflows"),
      ("overflow", Self.plainIDX([.max, .max, .max], data: 3), "overflows"),
    ]
    for (what, bytes, expected) in cases {
      let reason = malformedReason(what) { try IDX.read(ByteStream(bytes: bytes, name: "case")) }
      #expect(reason.contains(expected), "\(what): \(reason)")
    }
  }

  @Test func garbledFilesNeverCrash() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var generator = PhiloxGenerator(seed: seed)
    var refused = 0
    for round in 0..<20_000 {
      var bytes = round % 2 == 0 ? Self.idx : Self.plainIDX([6, 5], data: 30)
      for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[place] = .random(in: 0...255, using: &generator)
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 2: bytes.remove(at: place)
        default: bytes.insert(.random(in: 0...255, using: &generator), at: place)
        }
      }
      do {
        let tensor = try IDX.read(ByteStream(bytes: bytes))
        #expect(tensor.count <= bytes.count * 1032, "seed \(seed), round \(round)")
      } catch is FileError {
        refused += 1
      } catch {
        Issue.record("seed \(seed), round \(round): \(error)")
      }
    }
    #expect(refused > 10_000, "seed \(seed): only \(refused) of 20000 garbled files were refused")
  }

  /// A data set of three images in a folder of its own; `change` may damage it.
  private func withDataset(_ change: (String) throws -> Void, _ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      for half in ["train", "t10k"] {
        try AtomicFile.write(
          Self.plainIDX([3, 28, 28], data: 3 * 784), to: "\(folder)/\(half)-images-idx3-ubyte")
        try AtomicFile.write(Self.plainIDX([3], data: 3), to: "\(folder)/\(half)-labels-idx1-ubyte")
      }
      try change(folder)
      try body(folder)
    }
  }

  @Test func fashionFolders() throws {
    try withDataset({ _ in }) { folder in
      let data = try FashionMNIST(directory: folder)
      #expect(data.train.count == 3 && data.test.images.shape == [3, 1, 28, 28])
      #expect(data.train.labels.values(as: Int64.self) == [1, 1, 1])
    }
    let damages: [(String, String, (String) throws -> Void)] = [
      (
        "a file is missing", "cannot be read",
        { try FileManager.default.removeItem(atPath: $0 + "/t10k-labels-idx1-ubyte") }
      ),
      (
        "label 10", "label 2 is 10",
        { try AtomicFile.write([0, 0, 8, 1, 0, 0, 0, 3, 0, 9, 10], to: $0 + "/train-labels-idx1-ubyte") }
      ),
      (
        "too few labels", "2 labels for 3 images",
        { try AtomicFile.write(Self.plainIDX([2], data: 2), to: $0 + "/train-labels-idx1-ubyte") }
      ),
      (
        "other size", "[3, 28, 27]",
        {
          try AtomicFile.write(
            Self.plainIDX([3, 28, 27], data: 3 * 28 * 27), to: $0 + "/train-images-idx3-ubyte")
        }
      ),
      (
        "labels of rank 2", "[1, 3]",
        { try AtomicFile.write(Self.plainIDX([1, 3], data: 3), to: $0 + "/train-labels-idx1-ubyte") }
      ),
      (
        "a garbled gzip file beside the good one", "too early",
        { try AtomicFile.write([0x1F, 0x8B, 8], to: $0 + "/train-images-idx3-ubyte.gz") }
      ),
    ]
    for (what, expected, damage) in damages {
      try withDataset(damage) { folder in
        do {
          _ = try FashionMNIST(directory: folder)
          Issue.record("\(what): no error")
        } catch let error as FileError {
          #expect("\(error)".contains(expected), "\(what): \(error)")
          #expect(error.path.hasPrefix(folder), "\(what): \(error)")
        }
      }
    }
    #expect(throws: FileError.self) { try FashionMNIST(directory: "/nowhere/at/all") }
  }

  /// The real data set, where it is installed: the checksum of the pixels that Python gives.
  @Test(
    .enabled(
      if: FileManager.default.fileExists(atPath: FashionMNIST.systemDirectory),
      "Fashion-MNIST is not installed in \(FashionMNIST.systemDirectory)")
  )
  func realFashionMNIST() throws {
    let data = try FashionMNIST()
    #expect(data.train.images.shape == [60_000, 1, 28, 28] && data.test.images.shape == [10_000, 1, 28, 28])
    let checksum = data.train.images.withUnsafeRawPointer {
      crc32(0, $0.assumingMemoryBound(to: UInt8.self), UInt32(data.train.images.count))
    }
    #expect(checksum == 0xae65dccd)
    var counts = [Int](repeating: 0, count: 10)
    for label in data.train.labels.values(as: Int64.self) { counts[Int(label)] += 1 }
    #expect(counts == [Int](repeating: 6000, count: 10))
  }
}
