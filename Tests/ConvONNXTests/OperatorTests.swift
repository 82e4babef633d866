import Foundation
import Testing

@testable import ConvONNX

/// Single operators: what they do to shapes and to constants, and what they refuse.
@Suite struct OperatorTests {
  private func run(
    _ op: String, _ inputs: [ModelValue?], outputs: Int = 1,
    _ set: (inout [Onnx_AttributeProto]) -> Void = { _ in }
  ) throws -> [ModelValue] {
    var proto = Onnx_NodeProto()
    proto.opType = op
    proto.output = (0..<outputs).map { "y\($0)" }
    set(&proto.attribute)
    let node = ModelNode(proto, inputs: inputs.map { $0.map { .success($0) } })
    let rule = try #require(OperatorRules.rule(for: op))
    return try rule(node)
  }

  private func shape(_ sizes: Int...) -> ModelValue { try! ModelValue(sizes) }
  private func list(_ numbers: Int...) -> ModelValue { try! ModelValue(integers: numbers) }

  /// Twelve elements 0 … 11 against Python's slices.
  @Test(
    arguments: [
      (2, 9, 3, [2.0, 5, 8]), (-3, Int.max, 1, [9, 10, 11]), (0, -9, 1, [0, 1, 2]), (-100, 2, 1, [0, 1]),
      (11, Int.min, -5, [11, 6, 1]), (-1, -4, -1, [11, 10, 9]), (100, 8, -2, [11, 9]), (5, 5, 1, []),
      (3, 1, 1, []),
      (20, 30, 1, []), (2, -100, -1, [2, 1, 0]), (0, 12, Int.max, [0]),
    ] as [(Int, Int, Int, [Double])])
  func slicesAreThoseOfPython(start: Int, end: Int, step: Int, expected: [Double]) throws {
    let all = try ModelValue(integers: Array(0..<12))
    let found = try run("Slice", [all, list(start), list(end), list(0), list(step)])[0]
    #expect(found.shape == [expected.count] && found.constants == expected)
  }

  /// What exporters compute sizes with, beside NumPy's results.
  @Test func constantsOfSeveralAxesAreMoved() throws {
    let table = try ModelValue([2, 3], constants: [0, 1, 2, 3, 4, 5], isInteger: true)
    #expect(try run("Transpose", [table]) { _ in }[0].constants == [0, 3, 1, 4, 2, 5])
    #expect(
      try run("Slice", [table, list(-1, 0), list(Int.min, 2), list(0, 1), list(-1, 1)])[0].constants == [
        3, 4, 0, 1,
      ])
    #expect(try run("Expand", [list(7, 8), list(2, 2)])[0].constants == [7, 8, 7, 8])
    #expect(try run("Tile", [list(7, 8), list(2)])[0].constants == [7, 8, 7, 8])
    let column = try ModelValue([2, 1], constants: [10, 20], isInteger: true)
    #expect(try run("Add", [column, list(1, 2, 3)])[0].constants == [11, 12, 13, 21, 22, 23])
    #expect(
      try run("Where", [run("Equal", [list(-1, 4), list(-1)])[0], list(9), list(5, 6)])[0].constants == [
        9, 6,
      ])
    #expect(try run("Mod", [list(-7, 7), list(3)])[0].constants == [2, 1])
    #expect(try run("ReduceProd", [list(3, 4, 5)]) { $0 = [int("keepdims", 0)] }[0].constants == [60])
    #expect(try run("Max", [list(1, 9), list(4)])[0].constants == [4, 9])
  }

  @Test func otherOperatorsHaveTheirShapes() throws {
    let states = try run("LSTM", [shape(7, 2, 3), shape(2, 20, 3), shape(2, 20, 5)], outputs: 3)
    #expect(states.map(\.shape) == [[7, 2, 2, 5], [2, 2, 5], [2, 2, 5]])
    let first = try run("GRU", [shape(2, 7, 3), shape(1, 15, 3), shape(1, 15, 5)]) { $0 = [int("layout", 1)] }
    #expect(first.map(\.shape) == [[2, 7, 1, 5], [2, 1, 5], [2, 1, 5]])
    #expect(try run("TopK", [shape(4, 9), list(3)])[0].shape == [4, 3])
    #expect(throws: InferenceStop.self) { try run("TopK", [shape(4, 9), list(10)]) }
    #expect(try run("GatherND", [shape(2, 3, 4), shape(5, 2)])[0].shape == [5, 4])
    #expect(try run("OneHot", [shape(2, 3), list(6)])[0].shape == [2, 3, 6])
    let product = try run("Einsum", [shape(2, 3, 4), shape(2, 5, 4)]) {
      $0 = [attribute("equation") { $0.s = Data("bij, bkj -> bik".utf8) }]
    }
    #expect(product[0].shape == [2, 3, 5])
    #expect(try run("GridSample", [shape(2, 3, 8, 8), shape(2, 5, 6, 2)])[0].shape == [2, 3, 5, 6])
    #expect(try run("DeformConv", [shape(1, 2, 8, 8), shape(4, 2, 3, 3)])[0].shape == [1, 4, 6, 6])
    #expect(throws: InferenceStop("gives a shape that depends on the data")) {
      try run("NonZero", [shape(3)])
    }
  }

  @Test func constantsAreComputed() throws {
    #expect(try run("Div", [list(7, -7), list(2)])[0].constants == [3, -3])
    #expect(
      try run("Div", [ModelValue([1], constants: [7]), ModelValue([], constants: [2])])[0].constants == [3.5])
    #expect(try run("Div", [list(7), list(0)])[0].constants == nil)
    #expect(try run("Gather", [list(5, 6, 7), list(-1, 0)])[0].constants == [7, 5])
    #expect(throws: InferenceStop.self) { try run("Gather", [list(5), list(1)]) }
    #expect(try run("Shape", [shape(4, 5, 6)]) { $0 = [int("start", -2)] }[0].constants == [5, 6])
    #expect(
      try run(
        "Range",
        [ModelValue([], constants: [1]), ModelValue([], constants: [7]), ModelValue([], constants: [2.5])])[0]
        .constants == [1, 3.5, 6])
    #expect(throws: InferenceStop.self) { try run("Range", [list(0), list(1), list(0)]) }
    #expect(
      try run(
        "Range",
        [ModelValue([], constants: [1]), ModelValue([], constants: [-1e300]), ModelValue([], constants: [1])])[
          0
        ].shape == [0])
    let parts = try run("Split", [list(1, 2, 3, 4, 5), list(2, 3)], outputs: 2)
    #expect(parts.map(\.constants) == [[1, 2], [3, 4, 5]])
    #expect(try run("ConstantOfShape", [list(2, 3)])[0].constants == Array(repeating: 0, count: 6))
  }

  @Test func resizesRoundInFloat32() throws {
    let scales = try ModelValue([3], constants: [1, Double(Float(1) / 3), 2.5])
    #expect(try run("Resize", [shape(2, 9, 3), nil, scales])[0].shape == [2, 3, 7])
    #expect(try run("Resize", [shape(2, 9, 3), scales])[0].shape == [2, 3, 7])
    #expect(
      try run("Resize", [shape(2, 9, 3), nil, nil, list(4, 4)]) { $0 = [ints("axes", 1, -1)] }[0].shape == [
        2, 4, 4,
      ])
    #expect(throws: InferenceStop.self) { try run("Resize", [shape(2, 9, 3), nil, try ModelValue([3])]) }
  }

  @Test func refusals() throws {
    for (op, inputs) in [
      ("Add", [shape(2, 3), shape(2)]), ("Reshape", [shape(2, 3), list(4, -1)]),
      ("Reshape", [shape(2, 3), list(-1, -1)]),
      ("Reshape", [shape(2, 3), list(1, 1, 0)]), ("Squeeze", [shape(2, 1), list(0)]),
      ("Unsqueeze", [shape(2), list(0, 0)]),
      ("Concat", [shape(2, 3), shape(3, 3)]), ("Gemm", [shape(2, 3), shape(2, 3)]),
      ("MatMul", [shape(2, 3), shape(2, 3)]),
      ("Pad", [shape(2), list(-2, -1)]), ("Tile", [shape(2), list(-1)]), ("Flatten", []),
      ("Tile", [shape(1 << 31 - 1), list(2)]), ("Expand", [shape(2), list(3)]), ("MaxPool", [shape(1, 1, 4)]),
    ] {
      #expect(throws: InferenceStop.self, "\(op) \(inputs)") { try run(op, inputs) }
    }
    #expect(OperatorRules.rule(for: "Frobnicate") == nil)
    #expect(try run("Unsqueeze", [shape(3, 4)]) { $0 = [ints("axes", 0, -1)] }[0].shape == [1, 3, 4, 1])
    #expect(try run("MatMul", [shape(5, 1, 2, 3), shape(4, 3, 6)])[0].shape == [5, 4, 2, 6])
    #expect(try run("MatMul", [shape(3), shape(3)])[0].shape == [])
  }
}
