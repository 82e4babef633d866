import ConvBackends
import ConvCore
import ConvHarness
import Foundation
import Testing

/// The seed network trained on every engine, against PyTorch's float64 trajectory and the envelope of rounding.
@Suite struct TrajectoryTests {
  @Test(arguments: BackendRegistry.names, ["sgd", "adam"])
  func trainsAsPyTorchDoes(_ name: String, _ optimizer: String) throws {
    let backend = try BackendRegistry.named(name).backend
    let trajectory = try Trajectory(path: "\(referencesRoot)/trajectories/seed-cnn-\(optimizer).safetensors")
    #expect(trajectory.steps == 20)
    let batches = try TrainingImages.reference(root: referencesRoot, count: trajectory.steps)
    // The oracle takes seconds for each step.
    let steps = name == "naive" && breadth == 1 ? 3 : trajectory.steps
    let check = try TrajectoryCheck(
      Competitor(backend), trajectory: trajectory, batches: batches, steps: steps)
    #expect(
      check.verification.verdict == .passed,
      "\(name) \(optimizer), κ \(check.kappa), level \(check.level ?? 0): \(check.verification.reason)")
    #expect(check.deviations.count >= 2 * steps)
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
      Competitor(Biased(engine: engine, pass: pass, bias: bias)), trajectory: trajectory, batches: batches,
      steps: 1)
    #expect(check.verification.verdict == .failed && check.startsEqual)
    let wrong = check.deviations.filter { $0.ratio > 1 }.map(\.quantity)
    #expect(wrong.contains(quantity) && check.error > 1, "\(check.deviations)")
    #expect(check.verification.reason.contains("of step 1"), "\(check.verification.reason)")
  }

  /// Other initial weights than the stored ones are no training run to compare with.
  @Test func noticesOtherWeights() throws {
    let source = "\(referencesRoot)/trajectories/seed-cnn-sgd.safetensors"
    let file = try SafetensorsFile(path: source)
    var metadata = file.metadata
    let trajectory = try Trajectory(path: source)
    let attributes = try #require(metadata["attributes"])
    let seed = try #require(
      attributes.range(of: #""seed": ?\#(trajectory.seed)"#, options: .regularExpression))
    metadata["attributes"] = attributes.replacingCharacters(in: seed, with: "\"seed\":\(trajectory.seed + 1)")
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "\(UUID().uuidString).safetensors"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(
      file.tensors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, metadata: metadata, to: path)
    let check = try TrajectoryCheck(
      Competitor(BackendRegistry.named("im2col").backend), trajectory: Trajectory(path: path),
      batches: TrainingImages.reference(root: referencesRoot, count: 1), steps: 1)
    #expect(!check.startsEqual)
    #expect(check.verification.verdict == .failed && check.verification.reason.contains("initial weights"))
  }
}

/// An engine whose results of one pass are too large by a fraction.
struct Biased: ConvolutionBackend {
  let engine: any ConvolutionBackend
  let pass: ConvPass
  let bias: Float
  var name: String { "biased" }
  var nativePasses: Set<ConvPass> { Set(ConvPass.allCases) }

  func nativeSupport(for operation: ConvOperation, _ options: PlanOptions) -> Support {
    guard operation.epilogue.isEmpty else { return .unsupported("no epilogue") }
    return engine.nativeSupport(for: operation, options)
  }
  func forwardPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    BiasedPlan(inner: try engine.nativePlan(for: operation, options), bias: operation.pass == pass ? bias : 0)
  }
  func backwardDataPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }
  func backwardFilterPlan(_ operation: ConvOperation, _ options: PlanOptions) throws -> any ConvPlan {
    try forwardPlan(operation, options)
  }
}

private struct BiasedPlan: ConvPlan {
  let inner: any ConvPlan
  let bias: Float
  var operation: ConvOperation { inner.operation }
  var workspaceBytes: Int { inner.workspaceBytes }
  var executedFLOPs: Double { inner.executedFLOPs }
  var variant: String { inner.variant }
  var executedBy: String { "biased" }
  var errorModel: ErrorModel { inner.errorModel }

  func prepare(filter: UnsafeRawPointer, pool: WorkerPool) throws -> PreparedFilter {
    try inner.prepare(filter: filter, pool: pool)
  }

  func execute(
    _ operands: ConvOperands, workspace: UnsafeMutableRawBufferPointer, pool: WorkerPool,
    phases: PhaseRecorder?
  ) throws {
    try inner.execute(operands, workspace: workspace, pool: pool, phases: phases)
    let result =
      switch operation.pass {
      case .forward: operands.output
      case .backwardData: operands.input
      case .backwardFilter: operands.filter
      }
    let shape = operation.problem.resultShape(operation.pass)
    guard let values = result?.assumingMemoryBound(to: Float.self) else { return }
    for i in 0..<shape.reduce(1, *) { values[i] *= 1 + bias }
  }
}
