import ConvCore
import Testing

@testable import ConvONNX

/// Operators that run graphs of their own.
@Suite struct InnerGraphTests {
  private static let flag = value("c", [], type: 9)

  private func either(
    _ condition: String, _ first: [Onnx_NodeProto], _ second: [Onnx_NodeProto], to output: String = "z"
  ) -> Onnx_NodeProto {
    node(
      "If", [condition], output,
      graph("then_branch", body(first, gives: first.last!.output[0])),
      graph("else_branch", body(second, gives: second.last!.output[0])))
  }

  // MARK: If

  /// Where the data say which branch runs, both are taken, with their own weights and the outer graph's.
  @Test func bothBranchesAreTaken() throws {
    let choice = node(
      "If", ["c"], "z",
      graph("then_branch", body([node("Conv", ["x", "w"], "one")], gives: "one")),
      graph(
        "else_branch",
        body(
          [node("Conv", ["x", "inner"], "two"), node("Relu", ["two"], "r")], gives: "r",
          weights: [weight("inner", [4, 2, 3, 3])])))
    let found = try read(
      model([choice, node("Conv", ["z", "v"], "after")], inputs: [value("x", [1, 2, 8, 8]), Self.flag]))
    #expect(
      found.problems == [
        "one": "conv2d:n1c2h8w8k4r3s3", "two": "conv2d:n1c2h8w8k4r3s3", "after": "conv2d:n1c4h6w6k6r1s1",
      ])
    #expect(
      found.notes == [
        "2 convolutions lie in branches of which only one runs, as the data say, and both are listed; "
          + "the first in node 'z' (If)"
      ])
  }

  /// Branches within branches count once; a name that two branches give is each one's own.
  @Test func branchesLieInBranches() throws {
    let inner = either("c", [node("Conv", ["a", "w"], "b")], [node("Conv", ["a", "u"], "b")], to: "i")
    let outer = either("c", [node("Relu", ["x"], "a"), inner], [node("Conv", ["x", "w"], "b")], to: "o")
    let found = try read(
      model([outer], inputs: [value("x", [1, 2, 8, 8]), Self.flag], weights: [weight("u", [5, 2, 1, 1])]))
    #expect(found.layers.map(\.problem.description) == ["conv2d:n1c2h8w8k4r3s3", "conv2d:n1c2h8w8k5r1s1"])
    #expect(found.layers.map(\.nodes) == [["b", "b"], ["b"]])
    #expect(
      found.notes.count == 1 && found.notes[0].hasPrefix("3 convolutions lie in branches"), "\(found.notes)")
  }

  /// A branch that never runs holds no layers, and its convolutions are counted, with those that its nodes call.
  @Test(arguments: [Int64(1), 0]) func theBranchThatRunsIsTaken(flag: Int64) throws {
    let pair = function(
      "mine", "Two", ["a", "b"], gives: ["c"],
      [node("Conv", ["a", "b"], "c"), node("Conv", ["a", "b"], "d")])
    let choice = either("flag", [node("Conv", ["x", "w"], "one")], [node("mine.Two", ["x", "w"], "two")])
    let found = try read(
      model([node("Constant", [], "flag", int("value_int", flag)), choice], functions: [pair]))
    #expect(found.layers.flatMap(\.nodes) == (flag == 1 ? ["one"] : ["two/c", "two/d"]))
    #expect(
      found.notes == [
        "\(flag == 1 ? 2 : 1) convolutions are left out, they lie in graphs that never run; the first in node 'z' (If)"
      ])
  }

  @Test func branchesOfOtherShapesStopWhatIsBehindThem() throws {
    let choice = either("c", [node("Conv", ["x", "w"], "one")], [node("GlobalMaxPool", ["x"], "two")])
    let found = try read(
      model([choice, node("Conv", ["z", "v"], "after")], inputs: [value("x", [1, 2, 8, 8]), Self.flag]))
    #expect(found.layers.flatMap(\.nodes) == ["one"])
    #expect(found.notes.count == 2)
    for words in ["1 convolutions are left out", "'after'", "node 'z' (If) has branches of different shapes"]
    {
      #expect(found.notes[0].contains(words), "\(found.notes)")
    }
  }

  // MARK: Loops

  private func loop(
    _ inputs: [String], to outputs: String, _ values: [Onnx_ValueInfoProto], _ nodes: [Onnx_NodeProto],
    gives: String...
  ) -> Onnx_NodeProto {
    var graph = body(
      nodes, takes: [value("i", [], type: 7), value("go", [], type: 9)] + values, gives: "on")
    graph.node.append(node("Identity", ["go"], "on"))
    graph.output += gives.map { value($0) }
    return node("Loop", inputs, outputs, ConvONNXTests.graph("body", graph))
  }

  /// A body whose values keep their shapes is a layer once; what it puts together has as many as it runs.
  @Test func bodiesOfLoopsAreTaken() throws {
    let repeated = loop(
      ["most", "", "x"], to: "last all", [value("s")],
      [node("Conv", ["s", "k"], "t", ints("pads", 1, 1, 1, 1)), node("Conv", ["t", "w"], "side")], gives: "t",
      "side")
    let found = try read(
      model(
        [
          repeated, node("Conv", ["last", "w"], "after"), node("Reshape", ["all", "rows"], "flat"),
          node("Conv", ["flat", "v"], "together"),
        ],
        weights: [
          weight("k", [2, 2, 3, 3]), constant("most", [5], dims: []), constant("rows", [5, 4, 6, 6]),
        ]))
    #expect(
      found.problems == [
        "t": "conv2d:n1c2h8w8k2r3s3p1", "side": "conv2d:n1c2h8w8k4r3s3", "after": "conv2d:n1c2h8w8k4r3s3",
        "together": "conv2d:n5c4h6w6k6r1s1",
      ])
    #expect(
      found.notes == [
        "2 convolutions lie in loops and are listed once, however often those run; the first in node 'last' (Loop)"
      ])
  }

  /// A value that grows from run to run has no one shape; the others keep theirs.
  @Test func valuesThatChangeTheirShapesAreNotTaken() throws {
    let growing = loop(
      ["", "c", "x", "x"], to: "large same", [value("s"), value("t")],
      [
        node("Conv", ["s", "w"], "bad"), node("Conv", ["t", "w"], "good"),
        node("Concat", ["s", "s"], "longer", int("axis", 1)), node("Relu", ["t"], "u"),
      ], gives: "longer", "u")
    let found = try read(
      model(
        [growing, node("Conv", ["large", "w"], "behind"), node("Conv", ["same", "w"], "beside")],
        inputs: [value("x", [1, 2, 8, 8]), Self.flag]))
    #expect(found.layers.flatMap(\.nodes) == ["good", "beside"])
    #expect(found.notes.count == 2, "\(found.notes)")
    for words in ["2 convolutions are left out", "'bad'", "(Loop) carries values that change their shapes"] {
      #expect(found.notes[0].contains(words), "\(found.notes)")
    }
  }

  /// A value that takes another's place changes where the other one has changed.
  @Test func changesAreFoundHoweverTheyTravel() throws {
    let shifted = loop(
      ["", "c", "x", "x", "x"], to: "a b d", [value("p"), value("q"), value("r")],
      [
        node("Concat", ["p", "p"], "p2", int("axis", 1)), node("Identity", ["p"], "q2"),
        node("Identity", ["q"], "r2"), node("Conv", ["r", "w"], "late"),
      ], gives: "p2", "q2", "r2")
    let found = try read(model([shifted], inputs: [value("x", [1, 2, 8, 8]), Self.flag]))
    #expect(found.layers == [] && found.notes.count == 1, "\(found.notes)")
  }

  @Test func loopsThatNeverRunAreLeftOut() throws {
    let never = loop(
      ["none", "", "x"], to: "last", [value("s")], [node("Conv", ["s", "w"], "t")], gives: "t")
    let found = try read(
      model([never, node("Conv", ["last", "w"], "after")], weights: [constant("none", [0], dims: [])]))
    #expect(found.problems == ["after": "conv2d:n1c2h8w8k4r3s3"])
    #expect(
      found.notes == [
        "1 convolutions are left out, they lie in graphs that never run; the first in node 'last' (Loop)"
      ])
  }

  /// `Scan`: the body sees slices; what it gives is stacked along the axis that is asked for.
  @Test func bodiesOfScansAreTaken() throws {
    let step = body(
      [
        node("Identity", ["state"], "next"), node("Unsqueeze", ["slice", "zero"], "image"),
        node("Conv", ["image", "w"], "inner"),
      ], takes: [value("state"), value("slice")], gives: "next", "inner")
    var scan = node(
      "Scan", ["x", "film"], "last stack", graph("body", step), int("num_scan_inputs", 1),
      ints("scan_input_axes", 1), ints("scan_output_axes", 2))
    let found = try read(
      model(
        [scan, node("Reshape", ["stack", "rows"], "flat"), node("Conv", ["flat", "v"], "after")],
        inputs: [value("x", [1, 2, 8, 8]), value("film", [2, 7, 10, 12])],
        weights: [constant("zero", [0]), constant("rows", [7, 4, 8, 10])]))
    #expect(found.problems == ["inner": "conv2d:n1c2h10w12k4r3s3", "after": "conv2d:n7c4h8w10k6r1s1"])
    #expect(
      found.notes.count == 1 && found.notes[0].hasPrefix("1 convolutions lie in loops"), "\(found.notes)")
    // The stacked shape is [1, 4, 7, 8, 10]: 1 · 4 · 7 · 8 · 10 elements in the order that was asked for.
    scan.input = ["", "x", "film"]
    let old = try read(model([scan], inputs: [value("x", [1, 2, 8, 8]), value("film", [2, 7, 10, 12])]))
    #expect(old.layers == [] && old.notes[0].contains("graphs that are not followed"), "\(old.notes)")
  }

  /// The elements of a sequence have the shape that the body states, if it does.
  @Test func bodiesOverSequencesAreTaken() throws {
    func map(_ element: Onnx_ValueInfoProto) -> Onnx_NodeProto {
      node(
        "SequenceMap", ["parts", "x"], "all",
        graph(
          "body",
          body(
            [node("Conv", ["e", "w"], "t"), node("Conv", ["y", "w"], "u")], takes: [element, value("y")],
            gives: "t")
        ))
    }
    let parts = node("SplitToSequence", ["x"], "parts")
    let stated = try read(model([parts, map(value("e", [1, 2, 5, 5]))]))
    #expect(stated.problems == ["t": "conv2d:n1c2h5w5k4r3s3", "u": "conv2d:n1c2h8w8k4r3s3"])
    let open = try read(model([parts, map(value("e"))]))
    #expect(open.problems == ["u": "conv2d:n1c2h8w8k4r3s3"])
    #expect(open.notes.contains { $0.contains("the elements of a sequence") }, "\(open.notes)")
  }

  // MARK: Graphs that are not followed

  /// Graphs of other operators are not gone through: their convolutions are counted, with those in functions and in graphs further inside.
  @Test func graphsOfOthersAreCounted() throws {
    let block = function("mine", "Block", ["a", "b"], gives: ["c"], [node("Conv", ["a", "b"], "c")])
    let inside = either("c", [node("mine.Block", ["x", "w"], "p")], [node("Relu", ["x"], "q")])
    let search = node(
      "com.microsoft.BeamSearch", ["x"], "y",
      graph("encoder", body([node("Conv", ["x", "w"], "e"), inside], gives: "e")),
      graph("decoder", body([node("other.Conv", ["x", "w"], "d")], gives: "d")))
    let found = try read(model([search, node("Conv", ["x", "w"], "z")], functions: [block]))
    #expect(found.layers.flatMap(\.nodes) == ["z"])
    #expect(
      found.notes == [
        "3 convolutions are left out, they lie in graphs that are not followed; "
          + "the first in node 'y' (com.microsoft.BeamSearch)"
      ])
  }

  /// A graph that is handed to a function is not followed either, and an `If` without a branch.
  @Test func graphsThatAreHandedOnAreCounted() throws {
    let chosen = function(
      "mine", "Chosen", ["a"], gives: ["b"],
      [node("If", ["a"], "b", reference("then_branch", to: "one"), reference("else_branch", to: "one"))])
    let call = node(
      "mine.Chosen", ["x"], "y", graph("one", body([node("Conv", ["x", "w"], "t")], gives: "t")))
    let half = node(
      "If", ["x"], "z", graph("then_branch", body([node("Conv", ["x", "w"], "u")], gives: "u")))
    let found = try read(model([call, half], functions: [chosen]))
    #expect(found.layers == [])
    #expect(
      found.notes.count == 1 && found.notes[0].hasPrefix("2 convolutions are left out"), "\(found.notes)")
  }

  /// Loops whose values change their shapes are gone through again: within each other that has a limit.
  @Test func loopsWithinLoopsHaveALimit() throws {
    var nodes = [node("Relu", ["x"], "r")]
    for depth in 0..<25 {
      let grown = node("Concat", ["s\(depth)", "s\(depth)"], "t\(depth)", int("axis", 1))
      nodes = [
        loop(["", "c", "x"], to: "y\(depth)", [value("s\(depth)")], nodes + [grown], gives: "t\(depth)")
      ]
    }
    #expect {
      try read(model(nodes, inputs: [value("x", [1, 2, 8, 8]), Self.flag]))
    } throws: { error in
      if !"\(error)".contains("more than 300000 nodes and values would be gone through again") {
        Issue.record("\(error)")
      }
      return error is FileError
    }
  }
}
