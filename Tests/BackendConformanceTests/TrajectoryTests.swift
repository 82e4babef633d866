import ConvBackends
import ConvCore
import ConvHarness
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
}
