import ConvBackends
import ConvCore
import ConvHarness
import Testing

/// Faults of a training run that an honest engine's roundings must not hide, with the engines of the smallest and of larger bounds.
@Suite struct TrainingFaultTests {
  static let engines = ["im2col", "winograd", "fft"]
  static let everywhere: [TrainingFault] = [
    .learningRate, .swappedBatch, .dimImages, .mirroredImages, .halfGradients, .weightDecay,
  ]
  static let ofAdam: [TrainingFault] = [.firstMoment, .secondMoment, .nearSecondMoment, .epsilon]
  /// Steps that show the fault; VBENCH_WIDE looks at all.
  static let steps = 3

  struct Case: Sendable, CustomTestStringConvertible {
    let file: String
    let fault: TrainingFault
    var testDescription: String { "\(fault.name) in \(file)" }
  }

  static let cases: [Case] = {
    func cases(_ file: String, _ faults: [TrainingFault]) -> [Case] {
      faults.map { Case(file: file, fault: $0) }
    }
    let convolution = "conv2d:n64c32h16w16k64r3s3p1"
    let narrow =
      cases("seed-cnn-sgd", everywhere + [.frozen("conv2.bias"), .droppedBiases, .leakyReLU])
      + cases("seed-cnn-sgd", ConvPass.allCases.map { .lostTap($0, convolution) })
      + cases("lenet-adam", everywhere + ofAdam + [.frozen("conv2.bias"), .droppedBiases])
    if breadth == 1 { return narrow }
    return narrow
      + cases("seed-cnn-adam", everywhere + ofAdam + [.frozen("conv2.bias"), .droppedBiases, .leakyReLU])
      + cases("resnet18-sgd", everywhere + [.frozen("layer2.0.bn1.bias")])
      + cases("resnet18-sgd", ConvPass.allCases.map { .lostTap($0, "conv2d:n4c128h16w16k128r3s3p1") })
      + cases("alexnet-sgd", everywhere + [.frozen("features.3.bias"), .droppedBiases])
      + cases("vgg11-sgd", everywhere + [.frozen("features.3.bias"), .droppedBiases, .leakyReLU])
  }()

  private func check(_ file: String, _ engine: String, _ fault: TrainingFault?) throws -> TrajectoryCheck {
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/\(file).safetensors")
    let backend = try BackendRegistry.named(engine).backend
    return try TrajectoryCheck(
      Competitor(fault?.engine(backend) ?? backend),
      fallback: Competitor(BackendRegistry.named("direct").backend), trajectory: trajectory,
      batches: TrainingImages.reference(root: referencesRoot, count: trajectory.steps), steps: Self.steps,
      setup: fault?.setup() ?? TrainingSetup())
  }

  @Test(arguments: cases, engines)
  func failsInATrajectory(_ example: Case, _ engine: String) throws {
    let check = try check(example.file, engine, example.fault)
    #expect(
      check.verification.verdict == .failed,
      "\(example) on \(engine), κ \(check.kappa), largest ratio \(check.error)")
  }

  /// The same setting without the fault.
  @Test(arguments: Set(cases.map(\.file)).sorted(), engines)
  func honestRunsPass(_ file: String, _ engine: String) throws {
    let check = try check(file, engine, nil)
    #expect(check.verification.verdict == .passed, "\(file) on \(engine): \(check.verification)")
  }

  static let stepCases: [Case] = {
    func cases(_ file: String, _ faults: [TrainingFault]) -> [Case] {
      faults.map { Case(file: file, fault: $0) }
    }
    let data: [TrainingFault] = [.dimImages, .mirroredImages, .halfGradients]
    let lenet =
      cases("lenet", data + [.droppedBiases])
      + cases("lenet", ConvPass.allCases.map { .lostTap($0, "conv2d:n2c6h14w14k16r5s5") })
      + cases("resnet18", data)
    if breadth == 1 { return lenet }
    return lenet + cases("vgg11", data + [.droppedBiases, .leakyReLU])
      + cases("alexnet", data + [.droppedBiases])
      + cases("resnet18", ConvPass.allCases.map { .lostTap($0, "conv2d:n2c128h16w16k128r3s3p1") })
      + cases("mobilenet-v2", data)
  }()

  @Test(arguments: stepCases, engines)
  func failsInAStep(_ example: Case, _ engine: String) throws {
    let backend = try BackendRegistry.named(engine).backend
    let check = try NetworkCheck(
      Competitor(example.fault.engine(backend)),
      fallback: Competitor(BackendRegistry.named("direct").backend),
      reference: NetworkReference(path: "\(referencesRoot)/networks/\(example.file).safetensors"),
      setup: example.fault.setup())
    #expect(check.verification.verdict == .failed, "\(example) on \(engine), κ \(check.kappa)")
  }
}
