import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Testing

/// One training step of the larger networks on every engine against PyTorch's in float64.
@Suite struct NetworkReferenceTests {
  private func reference(_ network: String) throws -> NetworkReference {
    try NetworkReference(path: "\(referencesRoot)/networks/\(network).safetensors")
  }

  static let networks = ["lenet", "alexnet", "vgg11", "resnet18", "mobilenet-v2"]
  /// Engines of networks whose layers others have by lowerings or fallbacks only.
  static let few = ["alexnet": ["winograd", "fft", "auto"], "mobilenet-v2": ["direct", "auto", "onednn"]]

  private static let all = networks.flatMap { network in
    BackendRegistry.names.map { (network: network, engine: $0) }
  }
  /// The oracle takes too long.
  private static func isWideOnly(_ network: String, _ engine: String) -> Bool {
    engine == "naive" || few[network]?.contains(engine) == false
  }
  static let cases = all.filter { !isWideOnly($0.network, $0.engine) }
  static let wideCases = all.filter { isWideOnly($0.network, $0.engine) }

  @Test(arguments: cases)
  func stepsAsPyTorchDoes(_ network: String, _ name: String) throws { try expectStep(network, name) }

  @Test(
    .enabled(if: isWide, "\(leftToWide(wideCases.map { "\($0.network) on \($0.engine)" }))"),
    arguments: wideCases)
  func widelyStepsAsPyTorchDoes(_ network: String, _ name: String) throws { try expectStep(network, name) }

  private func expectStep(_ network: String, _ name: String) throws {
    let (backend, fallback) = (try BackendRegistry.named(name).backend, try BackendRegistry.named("direct"))
    let check = try NetworkCheck(
      Competitor(backend), fallback: Competitor(fallback.backend), reference: reference(network))
    #expect(
      check.verification.verdict == .passed,
      "\(name) \(network), κ \(check.kappa), level \(check.level ?? 0): \(check.verification.reason)")
    let most = ["lenet": 20, "alexnet": 30, "vgg11": 40, "resnet18": 160, "mobilenet-v2": 400]
    #expect(check.deviations.count > most[network] ?? 0)
  }

  @Test(arguments: networks, WideVariants.all)
  func wideVariantsAreJudged(_ network: String, _ text: String) throws {
    let variant = try BackendRegistry.named(text)
    let check = try NetworkCheck(
      Competitor(variant.backend, variant: variant.variant),
      fallback: Competitor(BackendRegistry.named("direct").backend), reference: reference(network))
    #expect(
      check.verification.verdict == .passed,
      "\(text) \(network), κ \(check.kappa), level \(check.level ?? 0): \(check.verification.reason)")
    #expect(check.kappa <= WideVariants.largestKappa, "\(text) \(network): κ \(check.kappa)")
    try WideVariants.expectReach(reference(network).levels, network)
  }

  /// Float64, in both formats: the networks are PyTorch's to the last digits.
  @Test(arguments: networks, [MemoryFormat.nchw, .nhwc])
  func isPyTorchsNetwork(_ network: String, _ format: MemoryFormat) throws {
    let check = try NetworkCheck(
      Competitor(BackendRegistry.named("im2col").backend), reference: reference(network),
      elementType: .float64, format: format)
    #expect(check.verification.verdict == .passed, "\(network): \(check.verification.reason)")
    #expect(check.deviations.contains { $0.quantity == "logits" })
  }

  /// An error of a quarter in one pass shows.
  @Test(arguments: [
    ("resnet18", ConvPass.backwardFilter, "grad_norm"), ("vgg11", .backwardData, "grad_norm"),
    ("vgg11", .forward, "grad_norm"), ("lenet", .backwardData, "grad_norm"),
    ("mobilenet-v2", .backwardFilter, "grad_norm"), ("alexnet", .forward, "logits"),
  ])
  func noticesAnError(_ network: String, _ pass: ConvPass, _ quantity: String) throws {
    let engine = try FakeBackend.biased(BackendRegistry.named("im2col").backend, pass, 0.25)
    let check = try NetworkCheck(Competitor(engine), reference: reference(network))
    #expect(check.verification.verdict == .failed)
    let wrong = check.deviations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains { $0.hasPrefix(quantity) }, "\(wrong)")
  }

  /// An error of 10⁻⁴ in a single layer in the middle, in a single pass, shows in the step of every network.
  @Test(arguments: networks, ConvPass.allCases)
  func noticesASmallErrorOfOneLayer(_ network: String, _ pass: ConvPass) throws {
    let reference = try reference(network)
    // The engine with the smallest bounds that has all of the network's layers.
    let engine = try BackendRegistry.named(network == "mobilenet-v2" ? "direct" : "im2col").backend
    let layers: [String: String] = [
      "lenet": "conv2d:n2c6h14w14k16r5s5", "alexnet": "conv2d:n2c192h3w3k384r3s3p1",
      "vgg11": "conv2d:n2c256h8w8k512r3s3p1", "resnet18": "conv2d:n2c128h16w16k256r3s3u2p1",
      "mobilenet-v2": "conv2d:n2c576h8w8k96r1s1",
    ]
    let layer = try ConvProblem(parsing: try #require(layers[network]))
    let check = try NetworkCheck(
      Competitor(FakeBackend.biased(engine, pass, 1e-4, layer: layer)),
      fallback: Competitor(BackendRegistry.named("im2col").backend), reference: reference)
    #expect(check.verification.verdict == .failed, "κ \(check.kappa): \(check.verification)")
    let wrong = check.deviations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains("the systematic error of \(pass.rawValue) \(layer) on biased"), "\(wrong)")
  }
}
