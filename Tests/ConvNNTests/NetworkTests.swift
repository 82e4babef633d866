import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import Testing

/// The networks of comparisons: names, sizes, formats.
@Suite struct NetworkTests {
  /// torchvision's counts, for ten classes: resnet18 with a 3×3 stem, vgg11 with a classifier that begins at 2048, alexnet with
  /// one at 256; LeNet-5's without trainable subsampling and with C3 connected to all of S2.
  @Test(arguments: [
    ("seed-cnn", 2_152_258), ("resnet18", 11_173_962), ("vgg11", 34_435_466), ("lenet", 61_706),
    ("alexnet", 20_344_650), ("mobilenet-v2", 2_236_682),
  ])
  func parameterCounts(_ name: String, _ count: Int) throws {
    let network = try #require(ImageNetwork.named(name))
    #expect(try network.make().parameterCount == count)
    #expect(network.inputShape(batch: 2) == [2, name == "lenet" ? 1 : 3, network.side, network.side])
  }

  @Test func torchvisionsKeys() throws {
    let resNet = Set(try ResNet18().stateDict().keys)
    #expect(resNet.count == 122)
    for key in [
      "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.1.bn2.num_batches_tracked",
      "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "layer4.1.conv2.weight", "fc.bias",
    ] { #expect(resNet.contains(key), "\(key)") }
    #expect(!resNet.contains { $0.hasPrefix("layer1.0.downsample") || $0.hasPrefix("layer2.1.downsample") })
    let convolutions = [0, 3, 6, 8, 11, 13, 16, 18].map { "features.\($0)" }
    let linears = [0, 3, 6].map { "classifier.\($0)" }
    #expect(
      Set(try VGG11().stateDict().keys)
        == Set((convolutions + linears).flatMap { ["\($0).weight", "\($0).bias"] }))
    let alexNet = [0, 3, 6, 8, 10].map { "features.\($0)" } + [1, 4, 6].map { "classifier.\($0)" }
    #expect(
      Set(try AlexNet().stateDict().keys) == Set(alexNet.flatMap { ["\($0).weight", "\($0).bias"] }))
    let mobileNet = Set(try MobileNetV2().stateDict().keys)
    #expect(mobileNet.count == 314)
    for key in [
      "features.0.0.weight", "features.0.1.running_var", "features.1.conv.0.0.weight",
      "features.1.conv.1.weight", "features.1.conv.2.bias", "features.2.conv.0.1.num_batches_tracked",
      "features.17.conv.1.0.weight", "features.17.conv.3.running_mean", "features.18.0.weight",
      "classifier.1.bias",
    ] { #expect(mobileNet.contains(key), "\(key)") }
    let leNet = ["conv1", "conv2", "fc1", "fc2", "fc3"]
    #expect(
      Set(try LeNet().stateDict().keys) == Set(leNet.flatMap { ["\($0).weight", "\($0).bias"] }))
  }

  @Test func networksOfOneSizeNeedTheirImages() throws {
    for model: any Module in [try VGG11(dropout: 0), try AlexNet(dropout: 0), try LeNet()] {
      #expect(throws: ConvError.self) { try model(Variable(Tensor.zeros([1, 3, 32, 32]))) }
    }
  }

  /// A dropout that zeroes nothing is none: comparisons are deterministic.
  @Test func noDropoutDrawsNothing() throws {
    let layer = try Dropout(p: 0)
    let x = Variable(try Tensor.full([4], Float(3)))
    #expect(try layer(x) === x && layer.drawn == 0)
  }

  /// Channels-last in, channels-last through every block, whatever the engine likes best.
  @Test(arguments: [MemoryFormat.nchw, .nhwc]) func blocksKeepTheFormat(_ format: MemoryFormat) throws {
    var context = ConvolutionContext(backend: .naive)
    context.memoryFormat = format
    for (channels, stride) in [(8, 1), (16, 2)] {
      let block = try BasicBlock(8, channels, stride: stride)
      let x = Variable(
        try Tensor.full([2, 8, 6, 6], Float(1), format: format), requiresGrad: true)
      let y = try context.run { try block(x) }
      #expect(y.value.format == format && y.shape == [2, channels, 6 / stride, 6 / stride])
      try y.backward(gradient: Tensor.full(y.shape, Float(1)))
      #expect(x.grad?.format == format)
    }
  }
}
