import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Foundation
import Testing

/// Networks trained on every engine, against PyTorch's float64 trajectories and the envelope of rounding.
@Suite struct TrajectoryTests {
  /// Engines of the large networks, the others are left to `make wide`: every one has made a step in NetworkReferenceTests.
  static let few = [
    "resnet18-sgd": ["winograd", "auto"], "alexnet-sgd": ["auto", "fft"], "vgg11-sgd": ["winograd"],
    "mobilenet-v2-sgd": ["auto", "direct"],
  ]

  static let steps = ["resnet18-sgd": 5, "alexnet-sgd": 4, "vgg11-sgd": 3, "mobilenet-v2-sgd": 3]
  static let files = [
    "seed-cnn-sgd", "seed-cnn-adam", "lenet-adam", "resnet18-sgd", "alexnet-sgd", "vgg11-sgd",
    "mobilenet-v2-sgd",
  ]

  private static let all = files.flatMap { file in BackendRegistry.names.map { (engine: $0, file: file) } }
  static let cases = all.filter { few[$0.file]?.contains($0.engine) != false }
  static let wideCases = all.filter { few[$0.file]?.contains($0.engine) == false }

  @Test(arguments: cases)
  func trainsAsPyTorchDoes(_ name: String, _ file: String) throws { try expectTraining(name, file) }

  @Test(
    .enabled(if: isWide, "\(leftToWide(wideCases.map { "\($0.file) on \($0.engine)" }))"),
    arguments: wideCases)
  func widelyTrainsAsPyTorchDoes(_ name: String, _ file: String) throws { try expectTraining(name, file) }

  private func expectTraining(_ name: String, _ file: String) throws {
    let backend = try BackendRegistry.named(name).backend
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors")
    #expect(trajectory.steps == Self.steps[file] ?? 20)
    let batches = try TrainingImages.reference(root: referencesRoot, count: trajectory.steps)
    let steps = name == "naive" && !isWide ? 3 : trajectory.steps
    let check = try TrajectoryCheck(
      Competitor(backend), fallback: Competitor(BackendRegistry.named("direct").backend),
      trajectory: trajectory, batches: batches, steps: steps)
    #expect(
      check.verification.verdict == .passed,
      "\(name) \(file), κ \(check.kappa), level \(check.level ?? 0): \(check.verification.reason)")
    #expect(check.deviations.count >= 3 * steps && check.divergence == nil)
    #expect(check.steps.map(\.number) == Array(1...steps))
    #expect(check.steps.allSatisfy { $0.verdict == .passed && $0.distance > 0 })
  }

  /// The variants with the widest bounds are judged too, whoever takes them by themselves: oneDNN takes its Winograd on some CPUs
  /// with AVX-512 and not on others.
  @Test(arguments: WideVariants.all, files)
  func wideVariantsAreJudged(_ text: String, _ file: String) throws {
    let variant = try BackendRegistry.named(text)
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors")
    let check = try TrajectoryCheck(
      Competitor(variant.backend, variant: variant.variant),
      fallback: Competitor(BackendRegistry.named("direct").backend), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: 2), steps: 2)
    #expect(
      check.verification.verdict == .passed,
      "\(text) \(file), κ \(check.kappa), level \(check.level ?? 0): \(check.verification.reason)")
    #expect(check.kappa <= WideVariants.largestKappa, "\(text) \(file): κ \(check.kappa)")
  }

  /// What no engine at hand may need another CPU's may: four times the largest κ is stored, and steps of four lead there.
  @Test(arguments: files)
  func levelsReachBeyondEveryEngine(_ file: String) throws {
    let levels = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors").levels
    WideVariants.expectReach(levels, file)
  }

  /// Every network has one.
  @Test func trajectoriesAreFound() throws {
    for network in ImageNetwork.all {
      let trajectory = try Trajectory.stored(of: network, root: referencesRoot)
      #expect(trajectory?.network.name == network.name)
    }
  }

  /// Where it went wrong: the first layer on the way forward, the last one on the way back, or the update.
  @Test(arguments: [
    ("seed-cnn-sgd", ConvPass.forward, Float(0x1p-6), "the input of conv2,"),
    ("seed-cnn-sgd", .backwardData, 0.25, "the gradient of conv2.bias,"),
    ("seed-cnn-sgd", .backwardFilter, 2, "the gradient of conv3.weight,"),
    ("lenet-adam", .forward, 0.25, "the input of conv2,"),
    ("resnet18-sgd", .backwardFilter, 0.25, "the gradient of layer4.1.conv2.weight,"),
    ("resnet18-sgd", .forward, 0.25, "the input of bn1,"),
    ("alexnet-sgd", .forward, 0.25, "the input of features.3,"),
    ("vgg11-sgd", .forward, 0.25, "the input of features.3,"),
    ("mobilenet-v2-sgd", .backwardFilter, 0.25, "the gradient of features.18.0.weight,"),
  ])
  func namesTheFirstLayer(_ file: String, _ pass: ConvPass, _ bias: Float, _ place: String) throws {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors")
    let engine = try FakeBackend.biased(BackendRegistry.named("im2col").backend, pass, bias)
    let check = try TrajectoryCheck(
      Competitor(engine), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: 1), steps: 1)
    let divergence = try #require(check.divergence)
    #expect(divergence.hasPrefix("step 1 of ") && divergence.contains("first at \(place)"), "\(divergence)")
    #expect(check.verification.reason.contains(divergence) && check.steps[0].verdict == .failed)
  }

  /// Gradients that are small beside those of the last layers: the norm of all hardly changes, their parameters' updates do.
  @Test func noticesSmallGradientsAtTheEnd() throws {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/vgg11-sgd.safetensors")
    let engine = try FakeBackend.biased(BackendRegistry.named("im2col").backend, .backwardFilter, 0.25)
    let check = try TrajectoryCheck(
      Competitor(engine), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: trajectory.steps))
    let wrong = check.deviations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(check.verification.verdict == .failed)
    #expect(wrong.contains("update norm of features.18.weight"), "\(wrong)")
  }

  /// A learning rate that is twice too large: loss and gradient of the first step are right.
  @Test func namesTheUpdate() throws {
    let check = try TrajectoryCheck(
      Competitor(BackendRegistry.named("im2col").backend),
      trajectory: altered("\"lr\": ?0.01", "\"lr\":0.02"),
      batches: TrainingImages.reference(root: referencesRoot, count: 2), steps: 2)
    #expect(
      check.divergence?.contains("step 1 of seed-cnn diverges first at the parameters' update") == true,
      "\(check.divergence ?? "")")
    #expect(check.steps.map(\.verdict) == [.failed, .failed])
    let wrong = check.quantities.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains("parameter distance of step 1"), "\(wrong)")
    #expect(wrong.contains("median distance of fc1.weight after step 1"), "\(wrong)")
    #expect(abs(check.steps[0].loss - check.steps[0].lossReference) <= check.steps[0].lossAllowed)
  }

  /// What a trajectory is for: an error of one pass shows in the very first step.
  @Test(arguments: [
    (ConvPass.forward, Float(0x1p-6), "gradient norm of step 1"), (.forward, 8, "loss of step 1"),
    (.backwardFilter, 2, "gradient norm of step 1"),
  ])
  func noticesAnError(_ pass: ConvPass, _ bias: Float, _ quantity: String) throws {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/seed-cnn-sgd.safetensors")
    let batches = try TrainingImages.reference(root: referencesRoot, count: 1)
    let engine = try BackendRegistry.named("im2col").backend
    let check = try TrajectoryCheck(
      Competitor(FakeBackend.biased(engine, pass, bias)), trajectory: trajectory, batches: batches,
      steps: 1)
    #expect(check.verification.verdict == .failed && check.startsEqual)
    let wrong = check.deviations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains(quantity) && check.error > 1, "\(check.deviations)")
    #expect(check.verification.reason.contains("step 1 of seed-cnn"), "\(check.verification.reason)")
  }

  /// An error of 10⁻⁴ in one layer hides in the roundings of a whole step; the layer is judged by itself.
  @Test(arguments: ConvPass.allCases) func noticesASmallErrorOfOneLayer(_ pass: ConvPass) throws {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/seed-cnn-sgd.safetensors")
    let layer = try ConvProblem(parsing: "conv2d:n64c32h16w16k64r3s3p1")
    let engine = try FakeBackend.biased(BackendRegistry.named("im2col").backend, pass, 1e-4, layer: layer)
    let check = try TrajectoryCheck(
      Competitor(engine), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: 1), steps: 1)
    #expect(check.verification.verdict == .failed, "κ \(check.kappa): \(check.verification)")
    let wrong = check.operations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains("the systematic error of \(pass.rawValue) \(layer) on biased"), "\(wrong)")
  }

  /// Other initial weights than the stored ones are no training run to compare with.
  @Test func noticesOtherWeights() throws {
    let check = try TrajectoryCheck(
      Competitor(BackendRegistry.named("im2col").backend),
      trajectory: altered("\"seed\": ?(?=[0-9])", "\"seed\":1"),
      batches: TrainingImages.reference(root: referencesRoot, count: 1), steps: 1)
    #expect(!check.startsEqual)
    #expect(check.verification.verdict == .failed && check.verification.reason.contains("initial weights"))
  }

  /// seed-cnn's trajectory with SGD, one attribute written otherwise.
  private func altered(_ pattern: String, _ replacement: String) throws -> Trajectory {
    let file = try SafetensorsFile(path: "\(referencesRoot)/trajectories/seed-cnn-sgd.safetensors")
    var metadata = file.metadata
    let attributes = try #require(metadata["attributes"])
    let place = try #require(attributes.range(of: pattern, options: .regularExpression))
    metadata["attributes"] = attributes.replacingCharacters(in: place, with: replacement)
    return try withTemporaryFolder { folder in
      let path = "\(folder)/altered.safetensors"
      try Safetensors.write(
        file.tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, metadata: metadata, to: path)
      return try Trajectory(path: path)
    }
  }
}

extension FakeBackend {
  /// An engine whose results of one pass, of all layers or of one, are too large by a fraction.
  static func biased(
    _ engine: any ConvolutionBackend, _ pass: ConvPass, _ bias: Float, layer: ConvProblem? = nil
  ) -> FakeBackend {
    FakeBackend("biased", engine) {
      $0.epilogue.isEmpty ? nil : "no epilogue"
    } changing: { plan in
      let operation = plan.operation
      if operation.pass == pass && (layer == nil || layer == operation.problem) {
        plan.spoil { values, _ in for i in values.indices { values[i] *= 1 + bias } }
      }
    }
  }
}
