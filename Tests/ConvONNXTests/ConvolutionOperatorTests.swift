import ConvCore
import Testing

@testable import ConvONNX

/// Convolutions beside `Conv` and `ConvTranspose`: which are taken, as what, and what is said of the others.
@Suite struct ConvolutionOperatorTests {
  private let quantities = [
    weight("sx", []), weight("zx", [], type: 2), weight("zw", [], type: 3),
    weight("w8", [4, 2, 3, 3], type: 3),
  ]
  private let quantised = ["q", "sx", "zx", "w8", "sx", "zw", "sx", "zx"]

  /// Those of quantised numbers have a float convolution's shape, and the note says what they are.
  @Test func quantisedConvolutionsAreTaken() throws {
    let found = try read(
      model(
        [
          node("QuantizeLinear", ["x", "sx", "zx"], "q"),
          node("QLinearConv", quantised, "a", ints("strides", 2, 2), ints("pads", 1, 1, 1, 1)),
          node("ConvInteger", ["q", "w8"], "b"), node("DynamicQuantizeLinear", ["x"], "d ds dz"),
          node("ConvInteger", ["d", "w8", "dz"], "e"), node("DequantizeLinear", ["a", "sx", "zx"], "f"),
          node("Conv", ["f", "v"], "g"),
        ], weights: quantities))
    #expect(
      found.problems == [
        "a": "conv2d:n1c2h8w8k4r3s3u2p1", "b": "conv2d:n1c2h8w8k4r3s3", "e": "conv2d:n1c2h8w8k4r3s3",
        "g": "conv2d:n1c4h4w4k6r1s1",
      ])
    #expect(
      found.notes == [
        "3 convolutions are listed as those of float32, the model computes them in uint8 with int8 filters; "
          + "the first: node 'a' (QLinearConv)"
      ])
  }

  @Test func elementTypesAreSaid() throws {
    for (x, w, words) in [
      (Int32(10), Int32(10), "in float16;"), (11, 11, "in float64;"), (16, 16, "in bfloat16;"),
    ] {
      let half = try read(
        model(
          [node("Conv", ["x", "h"], "y")], inputs: [value("x", [1, 2, 8, 8], type: x)],
          weights: [weight("h", [4, 2, 3, 3], type: w)]))
      #expect(
        half.layers.count == 1 && half.notes.count == 1 && half.notes[0].contains(words), "\(half.notes)")
    }
    let plain = try read(model([node("Conv", ["x", "w"], "y")]))
    #expect(plain.notes == [])
    // Types that are nowhere stated.
    let unknown = try read(
      model(
        [node("QLinearConv", ["x", "s", "z", "r", "s", "z", "s", "z"], "y"), node("Relu", ["w"], "unused")],
        inputs: [value("x", [1, 2, 8, 8], type: 0), value("r", [4, 2, 3, 3], type: 0)]))
    #expect(
      unknown.notes.count == 1 && unknown.notes[0].contains("in integers; the first: node 'y' (QLinearConv)"))
  }

  /// Channels behind the image: of Microsoft's operators always or as they say. Behind them the layout goes on.
  @Test func layoutsAreThoseOfTheOperators() throws {
    let behind = [value("x", [1, 8, 10, 2]), value("y", [1, 2, 8, 10])]
    let found = try read(
      model(
        [
          node("com.microsoft.NhwcConv", ["x", "w"], "a"),
          node("com.microsoft.NhwcFusedConv", ["x", "w", "", "a"], "b", ints("pads", 1, 0, 1, 0)),
          node("com.microsoft.FusedConv", ["y", "w"], "c"),
          node("com.microsoft.QLinearConv", ["x"] + quantised.dropFirst(), "d", int("channels_last", 1)),
          node("com.microsoft.QLinearConv", ["y"] + quantised.dropFirst(), "e"),
          node("com.microsoft.NhwcConv", ["a", "v"], "f"),
          node("com.microsoft.NhwcMaxPool", ["f"], "g", ints("kernel_shape", 2, 4), ints("strides", 2, 4)),
          node("com.microsoft.QLinearGlobalAveragePool", ["g"], "h", int("channels_last", 1)),
          node("com.microsoft.NhwcConv", ["g", "u"], "i"), node("com.microsoft.NhwcConv", ["h", "u"], "j"),
          node("com.ms.internal.nhwc.Conv", ["x", "w"], "k"),
        ], inputs: behind, weights: quantities + [weight("u", [5, 6, 1, 1])]))
    #expect(
      found.problems == [
        "a": "conv2d:n1c2h8w10k4r3s3", "b": "conv2d:n1c2h8w10k4r3s3p1,1,0,0", "c": "conv2d:n1c2h8w10k4r3s3",
        "d": "conv2d:n1c2h8w10k4r3s3", "e": "conv2d:n1c2h8w10k4r3s3", "f": "conv2d:n1c4h6w8k6r1s1",
        "i": "conv2d:n1c6h3w2k5r1s1", "j": "conv2d:n1c6h1w1k5r1s1", "k": "conv2d:n1c2h8w10k4r3s3",
      ])
    #expect(
      found.notes.count == 1 && found.notes[0].hasPrefix("2 convolutions are listed as those of float32"))
  }

  /// One spatial axis and three, with the channels behind them.
  @Test(arguments: [
    ([Size](arrayLiteral: 1, 20, 3), [Int64(4), 3, 5], "conv1d:n1c3w20k4s5"),
    ([1, 6, 7, 8, 3], [4, 3, 1, 2, 3], "conv3d:n1c3d6h7w8k4t1r2s3"),
  ])
  func allRanksHaveLayouts(input: [Size], filter: [Int64], problem: String) throws {
    let found = try read(
      model(
        [node("com.microsoft.NhwcConv", ["x", "k"], "y"), node("com.microsoft.NhwcConv", ["y", "k"], "z")],
        inputs: [value("x", input)], weights: [weight("k", filter)]))
    #expect(found.problems["y"] == problem)
    #expect(found.notes.count == 1 && found.notes[0].contains("has 4 input channels"), "\(found.notes)")
  }

  @Test func transposedConvolutionsAreTaken() throws {
    let found = try read(
      model(
        [
          node("ConvTranspose", ["x", "t"], "a", ints("strides", 2, 2)),
          node(
            "com.microsoft.ConvTransposeWithDynamicPads", ["x", "t", "border"], "b", ints("strides", 2, 2)),
          node(
            "com.microsoft.QLinearConvTranspose", ["x", "sx", "zx", "t8", "sx", "zw", "sx", "zx"], "c",
            ints("strides", 2, 2)),
          node("com.microsoft.ConvTransposeWithDynamicPads", ["x", "t", "x"], "d"),
        ],
        weights: quantities + [
          weight("t", [2, 5, 4, 4]), weight("t8", [2, 5, 4, 4], type: 3), constant("border", [1, 1, 1, 1]),
        ]))
    #expect(
      found.problems == [
        "a": "T conv2d:n1c5h18w18k2r4s4u2", "b": "T conv2d:n1c5h16w16k2r4s4u2p1",
        "c": "T conv2d:n1c5h18w18k2r4s4u2",
      ])
    #expect(
      found.notes.first?.contains("'d' (com.microsoft.ConvTransposeWithDynamicPads) takes a padding") == true)
  }

  /// A convolution of another domain is none of ours, whatever it is called; all that seem to be some are counted by name.
  @Test func othersAreNamed() throws {
    var other = node("org.pytorch.aten.ATen", ["x", "w"], "p")
    other.attribute = [attribute("operator") { $0.s = Array("conv2d".utf8).withUnsafeBytes { .init($0) } }]
    let found = try read(
      model([
        node("ai.onnx.Conv", ["x", "w"], "ours"), node("mine.Conv", ["x", "w"], "m"),
        node("mine.Conv", ["x", "w"], "n"), node("DeformConv", ["x", "w", "x"], "o"),
        node("com.microsoft.nchwc.Conv", ["x", "w"], "q"), node("aten.convolution", ["x", "w"], "r"),
        node("CausalConvWithState", ["x", "w"], "s"), node("mine.ConvertLayout", ["x"], "t"), other,
        node("Conv", ["o", "v"], "after"), node("mine.QLinearConv", ["x", "w"], "u"),
      ]))
    #expect(found.problems == ["ours": "conv2d:n1c2h8w8k4r3s3", "after": "conv2d:n1c4h6w6k6r1s1"])
    #expect(
      found.notes == [
        "2 mine.Conv left out, an operator that is not known; the first: node 'm' (mine.Conv)",
        "1 DeformConv left out, which takes its inputs from places that the data say; the first: node 'o' (DeformConv)",
        "1 com.microsoft.nchwc.Conv left out, an operator that is not known; the first: node 'q' (com.microsoft.nchwc.Conv)",
        "1 aten.convolution left out, an operator that is not known; the first: node 'r' (aten.convolution)",
        "1 CausalConvWithState left out, an operator that is not known; the first: node 's' (CausalConvWithState)",
        "1 org.pytorch.aten.ATen left out, an operator that is not known; the first: node 'p' (org.pytorch.aten.ATen)",
        "1 mine.QLinearConv left out, an operator that is not known; the first: node 'u' (mine.QLinearConv)",
      ])
  }

  /// Operators of quantised networks between their convolutions.
  @Test func quantisedNetworksAreFollowed() throws {
    let s = ["sx", "zx"]
    let found = try read(
      model(
        [
          node("com.microsoft.QLinearLeakyRelu", ["x"] + s + s, "a"),
          node("com.microsoft.QLinearAdd", ["a"] + s + ["x"] + s + s, "b"),
          node("com.microsoft.QLinearConcat", s + ["b"] + s + ["x"] + s, "c", int("axis", 1)),
          node("com.microsoft.QLinearAveragePool", ["c"] + s + s, "d", ints("kernel_shape", 3, 1)),
          node("com.microsoft.DequantizeLinear", ["d"] + s, "e"), node("Conv", ["e", "v"], "f"),
        ], weights: quantities))
    #expect(found.problems == ["f": "conv2d:n1c4h6w8k6r1s1"])
    #expect(found.notes == [])
  }

  // MARK: Sparse weights

  @Test func sparseTensorsHaveTheirShapes() throws {
    func sparse(_ name: String, _ dims: Int64..., type: Int32 = 1) -> Onnx_SparseTensorProto {
      var tensor = Onnx_SparseTensorProto()
      tensor.values = weight(name, [2], type: type)
      tensor.values.floatData = [1, 2]
      tensor.dims = dims
      return tensor
    }
    var made = model(
      [
        node("Conv", ["x", "thin"], "a"),
        node("Constant", [], "held", attribute("sparse_value") { $0.sparseTensor = sparse("", 7, 2, 1, 5) }),
        node("Conv", ["x", "held"], "b"),
        node(
          "If", ["c"], "z", graph("then_branch", body([node("Conv", ["x", "near"], "d")], gives: "d")),
          graph("else_branch", body([node("Relu", ["x"], "e")], gives: "e"))),
      ], inputs: [value("x", [1, 2, 8, 8]), value("thin", [3, 2, 3, 3]), value("c", [], type: 9)])
    made.graph.sparseInitializer = [sparse("thin", 3, 2, 3, 3)]
    made.graph.node[3].attribute[0].g.sparseInitializer = [sparse("near", 5, 2, 2, 2)]
    let found = try read(made)
    #expect(
      found.problems == [
        "a": "conv2d:n1c2h8w8k3r3s3", "b": "conv2d:n1c2h8w8k7r1s5", "d": "conv2d:n1c2h8w8k5r2s2",
      ])
    // Weights are no inputs, sparse or not.
    #expect(found.inputs == ["x", "c"])
  }

  // MARK: Models without convolutions

  /// A model without convolutions is whole: it is said what it holds.
  @Test func modelsMayHoldNoConvolution() throws {
    let found = try read(
      model([node("Relu", ["x"], "a"), node("Add", ["a", "a"], "b"), node("Relu", ["b"], "c")]))
    #expect(found.layers == [])
    #expect(found.notes == ["it holds no convolution; its 3 nodes are 2 Relu, 1 Add"])
    var empty = model([])
    empty.graph.output = [value("x")]
    #expect(try read(empty).notes == ["it holds no convolution; its 0 nodes are "])
  }
}
