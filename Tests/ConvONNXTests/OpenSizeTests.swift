import ConvCore
import Testing

@testable import ConvONNX

/// Sizes that models leave open: which are the same, and which are the batch.
@Suite struct OpenSizeTests {
  private func image(_ sizes: [Size], rank: Int = 4) -> Onnx_ModelProto {
    model([node("Conv", ["x", "w"], "y")], inputs: [value("x", sizes)])
  }

  /// What is no name is written for all open sizes: they are not the same.
  @Test(arguments: [
    "?", "", "None", "none", "NULL", " ", "-1", "0", "224", "*", "_", "...", "<unk>", "Unknown", "?_?", "nan",
  ])
  func whatIsNoNameIsNotTheSame(_ sign: String) throws {
    let open = image([.name(sign), 2, .name(sign), .name(sign)])
    let stated = try read(open, shapes: "x:2x2x48x192")
    #expect(stated.problems == ["y": "conv2d:n2c2h48w192k4r3s3"])
    let alone = try read(image([1, 2, .name(sign), .name(sign)]), shapes: "1x2x48x192")
    #expect(alone.problems == ["y": "conv2d:n1c2h48w192k4r3s3"])
    // The batch is no size of an image, whatever both are called.
    for batch in [nil, 4] {
      let found = try read(open, batch: batch)
      #expect(found.layers == [])
      #expect(
        found.notes.count == 1 && found.notes[0].contains("leaves the size of axis 2"), "\(found.notes)")
    }
  }

  @Test func sizesMayBeUnsaidOrNegative() throws {
    for open in [Size.unsaid, -1, 0, -7, .number(.min)] {
      let found = try read(image([1, 2, open, open]), shapes: "1x2x5x9")
      #expect(found.problems == ["y": "conv2d:n1c2h5w9k4r3s3"])
      #expect(try read(image([open, 2, 5, 9]), batch: 3).problems == ["y": "conv2d:n3c2h5w9k4r3s3"])
    }
  }

  /// A name stands for one size.
  @Test(arguments: ["side", "unk__123", "s0", "DynamicDimension.1", "h", "n"])
  func namesAreTheSame(_ name: String) throws {
    let square = image([1, 2, .name(name), .name(name)])
    #expect(try read(square, shapes: "1x2x9x9").problems == ["y": "conv2d:n1c2h9w9k4r3s3"])
    #expect {
      try read(square, shapes: "1x2x9x8")
    } throws: { "\($0)".contains("axis 3 is '\(name)', which is 9 elsewhere") }
  }

  /// The name of the batch may be an image's as well: then it is the first size only.
  @Test func theBatchIsNoImage() throws {
    for sizes in [["n", 2, "n", 8], ["n", 2, 8, "n"], ["n", 2, "n", "n"]] as [[Size]] {
      let found = try read(image(sizes), batch: 6)
      #expect(found.layers == [] && found.notes[0].contains("('n') open"), "\(found.notes)")
    }
    // Another input's image.
    let two = try read(
      model(
        [node("Conv", ["x", "w"], "a"), node("Conv", ["z", "w"], "b")],
        inputs: [value("x", ["n", 2, 8, 8]), value("z", [1, 2, "n", "n"])]), batch: 6)
    #expect(two.problems == ["a": "conv2d:n6c2h8w8k4r3s3"])
    #expect(two.notes.count == 1 && two.notes[0].contains("--shapes z:1x2xnxn"), "\(two.notes)")
  }

  /// Where the first axis is one of the image, images would grow with the batch: it has to be stated.
  @Test(arguments: [nil, 4])
  func firstSizesOfImagesAreNotTheBatch(batch: Int?) throws {
    let rows = model(
      [
        node("Unsqueeze", ["x", "zero"], "i"), node("Transpose", ["i"], "t", ints("perm", 0, 3, 1, 2)),
        node("Conv", ["t", "w"], "y"),
      ],
      inputs: [value("x", ["rows", 64, 2])], weights: [constant("zero", [0])])
    let open = try read(rows, batch: batch)
    #expect(open.layers == [])
    #expect(
      open.notes.count == 1
        && open.notes[0].contains("axis 0 ('rows') open; state its shape, --shapes x:rowsx64x2"))
    #expect(!open.hasDynamicBatch)
    #expect(try read(rows, shapes: "48x64x2").problems == ["y": "conv2d:n1c2h48w64k4r3s3"])
    // A sound of open length.
    let sound = model(
      [node("Reshape", ["x", "s"], "r"), node("Conv", ["r", "k"], "y")], inputs: [value("x", ["?"])],
      weights: [constant("s", [1, 1, -1]), weight("k", [3, 1, 2])])
    let length = try read(sound, batch: 8)
    #expect(
      length.layers == [] && length.notes[0].contains("leaves the size of axis 0 ('?') open"),
      "\(length.notes)")
    #expect(try read(sound, shapes: "x:16000").problems == ["y": "conv1d:n1c1w16000k3s2"])
  }

  /// The batch goes where its name stands first or second, and into other inputs without a name.
  @Test func theBatchIsSharedByName() throws {
    let found = try read(
      model(
        [
          node("Conv", ["x", "w"], "a"), node("Transpose", ["state"], "t", ints("perm", 1, 0, 2, 3)),
          node("Conv", ["t", "w"], "b"), node("Conv", ["z", "w"], "c"),
        ],
        inputs: [
          value("x", ["n", 2, 8, 8]), value("state", [2, "n", 5, 5]), value("z", [.unsaid, 2, 9, 9]),
        ]),
      batch: 6)
    #expect(
      found.problems == [
        "a": "conv2d:n6c2h8w8k4r3s3", "b": "conv2d:n6c2h5w5k4r3s3", "c": "conv2d:n6c2h9w9k4r3s3",
      ])
    #expect(found.hasDynamicBatch && found.notes == [])
  }

  /// What grows with the batch in a folded first axis is the batch.
  @Test func foldedBatchesAreTheBatch() throws {
    let film = model(
      [node("Reshape", ["x", "s"], "r"), node("Conv", ["r", "w"], "y")],
      inputs: [value("x", ["b", 5, 2, 8, 8])],
      weights: [constant("s", [-1, 2, 8, 8])])
    #expect(try read(film, batch: 3).problems == ["y": "conv2d:n15c2h8w8k4r3s3"])
  }
}
