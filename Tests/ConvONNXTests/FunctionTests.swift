import ConvCore
import Testing

@testable import ConvONNX

/// Functions that models bring along: their convolutions are those of the nodes that call them.
@Suite struct FunctionTests {
  /// `mine.Block`: a convolution with padding 1 and an activation. It states no shapes.
  private static let block = function(
    "mine", "Block", ["a", "b"], gives: ["c"],
    [node("Conv", ["a", "b"], "t", ints("pads", 1, 1, 1, 1)), node("Relu", ["t"], "c")])

  @Test func callsAreInlined() throws {
    let found = try read(
      model(
        [
          node("mine.Block", ["x", "w"], "first"), node("Conv", ["first", "v"], "plain"),
          node("mine.Block", ["x", "w"], "second"), node("mine.Block", ["plain", "u"], "third"),
        ], weights: [weight("u", [5, 6, 3, 3])], functions: [Self.block]))
    #expect(
      found.problems == [
        "first/t": "conv2d:n1c2h8w8k4r3s3p1", "plain": "conv2d:n1c4h8w8k6r1s1",
        "second/t": "conv2d:n1c2h8w8k4r3s3p1", "third/t": "conv2d:n1c6h8w8k5r3s3p1",
      ])
    // In the order in which they run; equal ones are one layer.
    #expect(found.layers.map(\.nodes) == [["first/t", "second/t"], ["plain"], ["third/t"]])
    #expect(found.notes == [])
  }

  /// A function that stands before the one it calls, with an input that nothing uses, and two outputs.
  @Test func functionsCallFunctions() throws {
    let outer = function(
      "mine", "Pair", ["a", "unused", "b", "c"], gives: ["again", "once"],
      [node("mine.Block", ["a", "b"], "once"), node("mine.Block", ["once", "c"], "again")])
    let found = try read(
      model(
        [
          node("mine.Pair", ["x", "", "w", "q"], "deep shallow"), node("Conv", ["deep", "p"], "after"),
          node("Conv", ["shallow", "v"], "beside"),
        ],
        weights: [weight("q", [3, 4, 5, 5]), weight("p", [2, 3, 6, 6])], functions: [outer, Self.block]))
    #expect(
      found.problems == [
        "deep/once/t": "conv2d:n1c2h8w8k4r3s3p1", "deep/again/t": "conv2d:n1c4h8w8k3r5s5p1",
        "after": "conv2d:n1c3h6w6k2r6s6", "beside": "conv2d:n1c4h8w8k6r1s1",
      ])
    #expect(found.notes == [])
  }

  /// The domain, the name and the overload together are the function; ONNX's own domain has two spellings.
  @Test func functionsAreFoundByDomainNameAndOverload() throws {
    func one(_ domain: String, _ overload: String, _ stride: Int64) -> Onnx_FunctionProto {
      function(
        domain, "Block", ["a", "b"], gives: ["c"],
        [node("Conv", ["a", "b"], "c", ints("strides", stride, stride))],
        overload: overload)
    }
    let found = try read(
      model(
        [
          node("one.Block", ["x", "w"], "p"), node("two.Block", ["x", "w"], "q"),
          node("two.Block", ["x", "w"], "r", overload: "wide"), node("Block", ["x", "w"], "s"),
          node("three.Block", ["x", "w"], "none"),
        ], functions: [one("one", "", 1), one("two", "", 2), one("two", "wide", 3), one("ai.onnx", "", 4)]))
    #expect(
      found.problems == [
        "p/c": "conv2d:n1c2h8w8k4r3s3", "q/c": "conv2d:n1c2h8w8k4r3s3u2", "r/c": "conv2d:n1c2h8w8k4r3s3u3",
        "s/c": "conv2d:n1c2h8w8k4r3s3u4",
      ])
  }

  /// Attributes of the body are those of the call, else the function's own, else the operator's.
  @Test func attributesComeFromTheCall() throws {
    let strided = function(
      "mine", "Strided", ["a", "b"], gives: ["c"],
      [
        node(
          "Conv", ["a", "b"], "c", reference("strides", to: "step"), reference("pads", to: "border"),
          reference("group", to: "parts"))
      ], defaults: [ints("border", 1, 1, 1, 1)])
    let outer = function(
      "mine", "Outer", ["a", "b"], gives: ["c"],
      [node("mine.Strided", ["a", "b"], "c", reference("step", to: "pace"))])
    let found = try read(
      model(
        [
          node("mine.Strided", ["x", "w"], "plain"),
          node("mine.Strided", ["x", "w"], "far", ints("step", 2, 3)),
          node("mine.Strided", ["x", "w"], "bare", ints("border", 0, 0, 0, 0)),
          node("mine.Outer", ["x", "w"], "outer", ints("pace", 4, 4), ints("step", 7, 7)),
          node("mine.Strided", ["x", "d"], "parted", int("parts", 2)),
        ], weights: [weight("d", [4, 1, 3, 3])], functions: [strided, outer]))
    #expect(
      found.problems == [
        "plain/c": "conv2d:n1c2h8w8k4r3s3p1", "far/c": "conv2d:n1c2h8w8k4r3s3u2x3p1",
        "bare/c": "conv2d:n1c2h8w8k4r3s3", "outer/c/c": "conv2d:n1c2h8w8k4r3s3u4p1",
        "parted/c": "conv2d:n1c2h8w8k4r3s3p1g2",
      ])
  }

  /// The names of a function's values are its own, whatever the graph calls its; constants go in and come out.
  @Test func valuesOfAFunctionAreItsOwn() throws {
    let shaped = function(
      "mine", "Shaped", ["x", "size"], gives: ["w"], [node("Reshape", ["x", "size"], "w")])
    let blind = function("mine", "Blind", ["a"], gives: ["c"], [node("Conv", ["a", "w"], "c")])
    let found = try read(
      model(
        [
          node("mine.Shaped", ["x", "size"], "tall"), node("Conv", ["tall", "w"], "seen"),
          node("mine.Blind", ["x"], "blind"),
        ], weights: [constant("size", [1, 2, 4, 16])], functions: [shaped, blind]))
    #expect(found.problems == ["seen": "conv2d:n1c2h4w16k4r3s3"])
    #expect(
      found.notes == [
        "1 convolutions are left out; the first: node 'blind/c' (Conv) takes 'w', which nothing before it gives"
      ])
  }

  /// An operator without a rule in a function leaves out what is behind it, and is named with the call.
  @Test func stopsInFunctionsAreNamed() throws {
    let odd = function(
      "mine", "Odd", ["a"], gives: ["c"], [node("far.Frob", ["a"], "b"), node("Conv", ["b", "b"], "c")])
    let found = try read(model([node("mine.Odd", ["x"], "y")], functions: [odd]))
    #expect(found.layers == [])
    let note = try #require(found.notes.first)
    #expect(note.contains("node 'y/c' (Conv) depends on node 'y/b' (far.Frob)"), "\(note)")
    // What the function states of its own values counts.
    var stated = odd
    stated.valueInfo = [value("b", [1, 3, 5, 5])]
    stated.node[1].input = ["b", "k"]
    stated.input = ["a", "k"]
    let told = try read(
      model([node("mine.Odd", ["x", "k"], "y")], weights: [weight("k", [2, 3, 3, 3])], functions: [stated]))
    #expect(told.problems == ["y/c": "conv2d:n1c3h5w5k2r3s3"])
    // The name of an open size there is not the graph's.
    stated.valueInfo = [value("b", ["n", 3, 5, 5])]
    let other = try read(
      model(
        [node("mine.Odd", ["x", "k"], "y")], inputs: [value("x", ["n", 2, 8, 8])],
        weights: [weight("k", [2, 3, 3, 3])], functions: [stated]))
    #expect(other.layers == [])
  }

  @Test func inputsMayBeLeftOut() throws {
    let scaled = function(
      "mine", "Scaled", ["a", "roi", "scales", "k"], gives: ["c"],
      [node("Resize", ["a", "roi", "scales"], "b"), node("Conv", ["b", "k"], "c")])
    var scales = weight("scales", [4])
    scales.floatData = [1, 1, 2, 3]
    let found = try read(
      model([node("mine.Scaled", ["x", "", "scales", "w"], "y")], weights: [scales], functions: [scaled]))
    #expect(found.problems == ["y/c": "conv2d:n1c2h16w24k4r3s3"])
  }

  // MARK: Refusals

  @Test func functionsThatCallThemselvesAreRefused() throws {
    let direct = function("mine", "Self", ["a"], gives: ["b"], [node("mine.Self", ["a"], "b")])
    let there = function("mine", "There", ["a"], gives: ["b"], [node("mine.Back", ["a"], "b")])
    let back = function(
      "mine", "Back", ["a"], gives: ["b"],
      [node("If", ["a"], "b", graph("then_branch", body([node("mine.There", ["a"], "c")], gives: "c")))])
    for (op, words) in [
      ("mine.Self", "function 'mine.Self' calls itself"),
      ("mine.There", "function 'mine.There' calls itself, by way of mine.Back"),
    ] {
      #expect {
        try read(model([node(op, ["x"], "y")], functions: [direct, there, back]))
      } throws: { error in
        if !"\(error)".contains(words) { Issue.record("\(error)") }
        return error is FileError
      }
    }
    // What nothing calls does no harm.
    let idle = try read(model([node("Conv", ["x", "w"], "y")], functions: [direct, there, back]))
    #expect(idle.layers.count == 1 && idle.notes == [])
  }

  /// `count` functions of two nodes each, which call the next one `times` times.
  private func chain(_ count: Int, times: Int) -> Onnx_ModelProto {
    let functions = (0..<count).map { index in
      function(
        "mine", "F\(index)", ["a", "b"], gives: ["c"],
        (0..<times).map {
          node(index + 1 == count ? "Conv" : "mine.F\(index + 1)", ["a", "b"], $0 == 0 ? "c" : "c\($0)")
        })
    }
    return model([node("mine.F0", ["x", "w"], "y")], functions: functions)
  }

  @Test func theyMayNotBeTooDeepOrTooMany() throws {
    #expect(try read(chain(99, times: 1)).layers.count == 1)
    // 2¹⁰ convolutions, in names of at most 200 characters.
    let many = try read(chain(10, times: 2))
    #expect(many.layers.map(\.nodes.count) == [1024])
    #expect(try read(chain(99, times: 1)).layers[0].nodes[0].utf8.count < 400)
    // A function that lies deep enough for itself, in another place.
    var twice = chain(60, times: 1)
    twice.functions += (0..<50).map { index in
      function(
        "mine", "G\(index)", ["a", "b"], gives: ["c"],
        [node("mine.\(index == 49 ? "F0" : "G\(index + 1)")", ["a", "b"], "c")])
    }
    #expect(try read(twice).layers.count == 1)
    twice.graph.node.append(node("mine.G0", ["x", "w"], "z"))
    #expect {
      try read(twice)
    } throws: { "\($0)".contains("more than 100 deep") }
    for (count, times, words) in [
      (100, 1, "more than 100 deep"), (60_000, 1, "more than 100 deep"),
      (90, 2, "more than 1152921504606846976 more nodes"),
      (20, 2, "more nodes and values, at most 300000 are followed"),
    ] {
      #expect {
        try read(chain(count, times: times))
      } throws: { error in
        if !"\(error)".contains(words) { Issue.record("\(error)") }
        return error is FileError
      }
    }
  }
}
