import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

/// Faults of a training run that an honest engine's roundings must not hide, with the engines of the smallest and of larger bounds.
@Suite struct TrainingFaultTests {
  static let engines = ["im2col", "winograd", "fft"]
  static let everywhere: [TrainingFault] = [
    .learningRate, .swappedBatch, .dimImages, .mirroredImages, .halfGradients, .weightDecay,
  ]
  static let ofAdam: [TrainingFault] = [.firstMoment, .secondMoment, .nearSecondMoment, .epsilon]
  /// Steps that show the fault.
  static let steps = 3

  struct Case: Sendable, CustomTestStringConvertible {
    let file: String
    let fault: TrainingFault
    var testDescription: String { "\(fault.name) in \(file)" }
  }

  private static func cases(_ file: String, _ faults: [TrainingFault]) -> [Case] {
    faults.map { Case(file: file, fault: $0) }
  }

  private static func lostTaps(_ layer: String) -> [TrainingFault] {
    ConvPass.allCases.map { .lostTap($0, layer) }
  }

  static let cases =
    cases("seed-cnn-sgd", everywhere + [.frozen("conv2.bias"), .droppedBiases, .leakyReLU])
    + cases("seed-cnn-sgd", lostTaps("conv2d:n64c32h16w16k64r3s3p1"))
    + cases("lenet-adam", everywhere + ofAdam + [.frozen("conv2.bias"), .droppedBiases])
  static let wideCases =
    cases("seed-cnn-adam", everywhere + ofAdam + [.frozen("conv2.bias"), .droppedBiases, .leakyReLU])
    + cases("resnet18-sgd", everywhere + [.frozen("layer2.0.bn1.bias")])
    + cases("resnet18-sgd", lostTaps("conv2d:n4c128h16w16k128r3s3p1"))
    + cases("alexnet-sgd", everywhere + [.frozen("features.3.bias"), .droppedBiases])
    + cases("vgg11-sgd", everywhere + [.frozen("features.3.bias"), .droppedBiases, .leakyReLU])
  static let files = Set(cases.map(\.file)).sorted()
  static let wideFiles = Set(wideCases.map(\.file)).sorted()

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
    try expectFailingTrajectory(example, engine)
  }

  @Test(
    .enabled(if: isWide, "\(leftToWide(wideCases.map(\.testDescription))), on \(engines)"),
    arguments: wideCases, engines)
  func widelyFailsInATrajectory(_ example: Case, _ engine: String) throws {
    try expectFailingTrajectory(example, engine)
  }

  private func expectFailingTrajectory(_ example: Case, _ engine: String) throws {
    let check = try check(example.file, engine, example.fault)
    #expect(
      check.verification.verdict == .failed,
      "\(example) on \(engine), κ \(check.kappa), largest ratio \(check.error)")
  }

  /// The same setting without the fault.
  @Test(arguments: files, engines)
  func honestRunsPass(_ file: String, _ engine: String) throws { try expectHonestRun(file, engine) }

  @Test(.enabled(if: isWide, "\(leftToWide(wideFiles)), on \(engines)"), arguments: wideFiles, engines)
  func widelyHonestRunsPass(_ file: String, _ engine: String) throws { try expectHonestRun(file, engine) }

  private func expectHonestRun(_ file: String, _ engine: String) throws {
    let check = try check(file, engine, nil)
    #expect(check.verification.verdict == .passed, "\(file) on \(engine): \(check.verification)")
  }

  private static let data: [TrainingFault] = [.dimImages, .mirroredImages, .halfGradients]
  static let stepCases =
    cases("lenet", data + [.droppedBiases] + lostTaps("conv2d:n2c6h14w14k16r5s5")) + cases("resnet18", data)
  static let wideStepCases =
    cases("vgg11", data + [.droppedBiases, .leakyReLU]) + cases("alexnet", data + [.droppedBiases])
    + cases("resnet18", lostTaps("conv2d:n2c128h16w16k128r3s3p1")) + cases("mobilenet-v2", data)

  @Test(arguments: stepCases, engines)
  func failsInAStep(_ example: Case, _ engine: String) throws { try expectFailingStep(example, engine) }

  @Test(
    .enabled(if: isWide, "\(leftToWide(wideStepCases.map(\.testDescription))), on \(engines)"),
    arguments: wideStepCases, engines)
  func widelyFailsInAStep(_ example: Case, _ engine: String) throws { try expectFailingStep(example, engine) }

  private func expectFailingStep(_ example: Case, _ engine: String) throws {
    let backend = try BackendRegistry.named(engine).backend
    let check = try NetworkCheck(
      Competitor(example.fault.engine(backend)),
      fallback: Competitor(BackendRegistry.named("direct").backend),
      reference: NetworkReference(path: "\(referencesRoot)/networks/\(example.file).safetensors"),
      setup: example.fault.setup())
    #expect(check.verification.verdict == .failed, "\(example) on \(engine), κ \(check.kappa)")
  }
}
