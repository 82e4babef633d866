import ConvCore
import Foundation
import Testing

/// What `print(tensor)` shows. Layout and digits are PyTorch's.
@Suite struct TensorTextTests {
  @Test func fewElements() throws {
    #expect(try Tensor(scalar: 2.3026123 as Float).description == "Tensor(2.3026, shape: [], float32)")
    #expect(try Tensor(scalar: 7 as Int64).description == "Tensor(7, shape: [], int64)")
    #expect(
      try Tensor([1, -0.5, 0.25, 12.5] as [Float], shape: [2, 2]).description == """
        Tensor([[ 1.0000, -0.5000],
                [ 0.2500, 12.5000]], shape: [2, 2], float32)
        """)
    #expect(
      try Tensor([1, 2, 3, 4, 5, 6, 7, 8] as [Double], shape: [2, 2, 2]).description == """
        Tensor([[[1., 2.],
                 [3., 4.]],

                [[5., 6.],
                 [7., 8.]]], shape: [2, 2, 2], float64)
        """)
    #expect(
      try Tensor([1, -20, 300] as [Int64], shape: [3]).description
        == "Tensor([  1, -20, 300], shape: [3], int64)")
    #expect(
      try Tensor([0, 255] as [UInt8], shape: [2]).description == "Tensor([  0, 255], shape: [2], uint8)")
    #expect(
      try Tensor([true, false] as [Bool], shape: [2, 1]).description == """
        Tensor([[ true],
                [false]], shape: [2, 1], bool)
        """)
  }

  @Test func nothingToShow() throws {
    #expect(try Tensor.zeros([0]).description == "Tensor([], shape: [0], float32)")
    #expect(
      try Tensor.zeros([3, 0, 2], elementType: .bool, format: .nhwc).description
        == "Tensor([], shape: [3, 0, 2], bool, nhwc)")
    // Of 2⁶² rows none has an element: nobody walks through them.
    #expect(try Tensor.zeros([1 << 62, 0]).description == "Tensor([], shape: [\(1 << 62), 0], float32)")
    #expect(try Tensor.zeros([2]).description == "Tensor([0., 0.], shape: [2], float32)")
  }

  @Test func numbersThatAreNone() throws {
    #expect(
      try Tensor([.nan, -.infinity, 1.5, -.nan] as [Float], shape: [4]).description
        == "Tensor([   nan,   -inf, 1.5000,    nan], shape: [4], float32)")
    #expect(
      try Tensor([.nan, 3] as [Float], shape: [2]).description == "Tensor([nan,  3.], shape: [2], float32)")
    #expect(try Tensor(scalar: Double.infinity).description == "Tensor(inf, shape: [], float64)")
  }

  /// Where four decimals say too little or too much there are exponents.
  @Test func magnitudes() throws {
    func text(_ values: [Double]) throws -> String {
      String(try Tensor(values, shape: [values.count]).description.dropFirst(8).prefix { $0 != "]" })
    }
    #expect(try text([1, 1000.5]) == "1.0000e+00, 1.0005e+03")
    #expect(try text([1, 999.5]) == "  1.0000, 999.5000")
    #expect(try text([9e-5]) == "9.0000e-05")
    #expect(try text([1.5e-4]) == "0.0001" && text([-1.5e-4, 0]) == "-0.0001,  0.0000")
    #expect(try text([1e8]) == "100000000." && text([2e8]) == "2.0000e+08")
    #expect(try text([.greatestFiniteMagnitude, .leastNonzeroMagnitude]) == "1.7977e+308, 4.9407e-324")
  }

  /// 80 columns, the brackets' margin included.
  @Test func longLines() throws {
    let text = try Tensor((0..<30).map { Int64($0) }, shape: [30]).description
    #expect(
      text == """
        Tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
                18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29], shape: [30], int64)
        """)
  }

  @Test func moreThanAThousand() throws {
    let exactly = try Tensor.zeros([1000], elementType: .int64).description
    #expect(!exactly.contains("…") && exactly.count { $0 == "0" } == 1000 + 3)
    #expect(
      try Tensor((0..<1001).map { Int64($0) }, shape: [1001]).description
        == "Tensor([   0,    1,    2,  …,  998,  999, 1000], shape: [1001], int64)")
    #expect(
      try Tensor((0..<2100).map { Int64($0) }, shape: [7, 300]).description == """
        Tensor([[   0,    1,    2,  …,  297,  298,  299],
                [ 300,  301,  302,  …,  597,  598,  599],
                [ 600,  601,  602,  …,  897,  898,  899],
                …,
                [1200, 1201, 1202,  …, 1497, 1498, 1499],
                [1500, 1501, 1502,  …, 1797, 1798, 1799],
                [1800, 1801, 1802,  …, 2097, 2098, 2099]], shape: [7, 300], int64)
        """)
    // An axis of no more than six is shown whole.
    let few = try Tensor.zeros([6, 1000], elementType: .uint8).description
    #expect(few.split(separator: "\n").count == 6)
  }

  /// The order is the logical one, whatever the memory's is.
  @Test func channelsLast() throws {
    let values = (0..<24).map { Int64($0) }
    let plain = try Tensor(values, shape: [1, 2, 3, 4])
    let text = try plain.converted(to: .nhwc).description
    #expect(text == plain.description.replacingOccurrences(of: "int64)", with: "int64, nhwc)"))
    #expect(text.contains("[ 4,  5,  6,  7]") && plain.kind == "int64 [1, 2, 3, 4]")
    #expect(try plain.converted(to: .nhwc).kind == "int64 [1, 2, 3, 4] nhwc")
  }

  /// Of a large tensor only what is shown is read: pages that nobody touched stay without memory.
  @Test func readsWhatItShows() throws {
    let tensor = try Tensor(uninitialized: [(1 << 26) + 12_345])
    func residentPages() -> Int {
      tensor.withUnsafeRawPointer { pointer in
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (Int(bitPattern: pointer) + page - 1) / page * page
        let count = (Int(bitPattern: pointer) + tensor.byteCount - start) / page
        var marks = [UInt8](repeating: 0, count: count)
        let status = mincore(UnsafeMutableRawPointer(bitPattern: start), count * page, &marks)
        return status == 0 ? marks.count { $0 & 1 == 1 } : -1
      }
    }
    let before = residentPages()
    // 256 MiB that nobody has written to; else this test would see nothing.
    try #require((0..<4096).contains(before))
    #expect(tensor.description.hasSuffix(", shape: [67121209], float32)"))
    // Of the two ends at most a huge page each.
    #expect(residentPages() - before <= 2 * 512)
  }
}
