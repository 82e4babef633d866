import ConvCore
import Foundation
import Testing

@testable import ConvONNX

/// Models that are large or odd on purpose: they are read, or refused in few words.
@Suite struct HostileModelTests {
  private let long = String(repeating: "n", count: 100_000)

  /// Constants that are folded node by node, each as long as constants may be, and such as are too long for that.
  @Test(arguments: [4, ModelValue.mostConstants, ModelValue.mostConstants + 1])
  func chainsOfConstantsAreRead(count: Int) throws {
    let sums = (0..<20_000).map { node("Add", [$0 == 0 ? "k" : "a\($0 - 1)", "k"], "a\($0)") }
    let ends = [
      node("Slice", ["a19999", "from", "to"], "size"), node("Reshape", ["x", "size"], "y"),
      node("Conv", ["y", "w"], "z"),
    ]
    var ones = weight("k", [Int64(count)], type: 7)
    ones.int64Data = [0, 0, 0, 0] + Array(repeating: 1, count: count - 4)
    let found = try read(
      model(sums + ends, weights: [ones, constant("from", [0]), constant("to", [4])]))
    if count <= ModelValue.mostConstants {
      #expect(found.problems == ["z": "conv2d:n1c2h8w8k4r3s3"])
    } else {
      #expect(
        found.layers == [] && found.notes[0].contains("takes a shape that is not constant"), "\(found.notes)")
    }
  }

  @Test func thousandsOfBranchesAreRead() throws {
    let choices = (0..<3000).map { index in
      node(
        "If", ["c"], "z\(index)", graph("then_branch", body([node("Conv", ["x", "w"], "t")], gives: "t")),
        graph("else_branch", body([node("Relu", ["x"], "e")], gives: "e")))
    }
    let found = try read(model(choices, inputs: [value("x", ["n", 2, 8, 8]), value("c", [], type: 9)]))
    #expect(found.layers.map(\.nodes.count) == [3000])
    #expect(found.notes.count == 1 && found.notes[0].hasPrefix("3000 convolutions lie in branches"))
  }

  /// Whatever is long in a file, notes and errors quote its beginning.
  @Test func longNamesAreCut() throws {
    var many = node(
      "Conv", ["x", "w"], "y", attribute("pads") { $0.ints = Array(repeating: 1, count: 50_000) })
    many.name = long
    let equation = node("Einsum", ["x"], "e", attribute("equation") { $0.s = Data(("i->" + long).utf8) })
    let wide = node("Reshape", ["x", "k"], "r")
    for made in [
      model([many]), model([node("\(long).\(long)Conv", ["x"], "y")]),
      model([node("Conv", [long, "w"], long)]),
      model([equation, node("Conv", ["e", "w"], "y")]),
      model(
        [wide, node("Conv", ["r", "w"], "y")], weights: [constant("k", Array(repeating: 7, count: 200))]),
      model([node("Conv", [long, "w"], "y")], inputs: [value(long, [1, .name(long), 8, 8])]),
      model([
        node("Concat", Array(repeating: "w", count: 5_000) + ["v"], "y"), node("Conv", ["y", "w"], "z"),
      ]),
      model((0..<2_000).map { node("mine.Conv\($0)", ["x"], "y\($0)") }),
      model((0..<2_000).map { node("Op\($0)", ["x"], "y\($0)") }),
    ] {
      let found = try read(made)
      #expect(found.layers == [] && !found.notes.isEmpty && found.notes.count < 12)
      #expect(found.notes.allSatisfy { $0.count < 1000 }, "\(found.notes.map(\.count))")
    }
    let function = function("mine", long, ["a"], gives: ["b"], [node("mine.\(long)", ["a"], "b")])
    #expect {
      try read(model([node("mine.\(long)", ["x"], "y")], functions: [function]))
    } throws: { "\($0)".count < 1000 }
    let inputs = (0..<3_000).map { value("i\($0)", [1]) }
    for stated in ["8x8", "\(long):8x8", Array(repeating: "8", count: 5_000).joined(separator: "x"), long] {
      #expect {
        try read(model([node("Relu", ["i0"], "y")], inputs: inputs), shapes: stated)
      } throws: { error in
        if "\(error)".count > 1000 { Issue.record("\("\(error)".count) characters") }
        return error is InputShapeError
      }
    }
  }

  /// Of lists the beginning is quoted, and how long they are.
  @Test func excerptsSayHowMuchTheyLeaveOut() {
    #expect(Excerpt.of([1, 2, 3]) == "[1, 2, 3]")
    #expect(Excerpt.of(Array(0..<9)) == "[0, 1, 2, 3, 4, 5, 6, 7, …] of 9")
    #expect(Excerpt.names(["a", "b"]) == "a, b")
    #expect(Excerpt.names((0..<9).map { "\($0)" }) == "0, 1, 2, 3, 4, 5, 6, 7, … (9 in all)")
    #expect(Excerpt.of(String(repeating: "n", count: 201)).hasSuffix("(201 characters)"))
  }
}
