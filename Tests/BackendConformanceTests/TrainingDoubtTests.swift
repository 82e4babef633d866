import ConvBackends
import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Operations whose bounds are so wide that wrong results would pass.
@Suite struct TrainingDoubtTests {
  private let layer = "conv2d:n64c32h16w16k64r3s3p1"

  private func vague(_ after: Int) throws -> Competitor {
    Competitor(
      FakeBackend.vague(
        try BackendRegistry.named("im2col").backend, try ConvProblem(parsing: layer), executions: after))
  }

  /// One such operation, and nobody knows whether the whole training is right.
  @Test func aDoubtfulOperationMakesTheTrainingMistrusted() throws {
    let check = try TrajectoryCheck(
      vague(.max), trajectory: Trajectory(path: "\(referencesRoot)/trajectories/seed-cnn-sgd.safetensors"),
      batches: TrainingImages.reference(root: referencesRoot, count: 1), steps: 1)
    let doubt = try #require(check.doubt)
    #expect(doubt.hasPrefix("forward \(layer) on vague: ") && doubt.contains("would pass"), "\(doubt)")
    #expect(check.verification.verdict == .mistrusted && check.verification.reason == doubt)
    #expect(
      Verification([], doubt: doubt).verdict == .mistrusted && Verification([], doubt: nil).verdict == .passed
    )
    let wrong = TrajectoryCheck.Deviation(quantity: "loss", found: 2, expected: 0, allowed: 1)
    #expect(Verification([wrong], doubt: doubt).verdict == .failed)
  }

  /// With other operands it is no more in doubt: the first two of three seeds decide nothing.
  @Test func aDoubtfulOperationIsRepeated() throws {
    let operation = ConvOperation(.forward, try ConvProblem(parsing: layer))
    func doubt(_ after: Int) throws -> String? {
      try LayerCheck(of: vague(after), operation, pool: .shared).doubt
    }
    #expect(try doubt(0) == nil)
    #expect(try doubt(1) == nil)
    #expect(try doubt(2) == nil)
    #expect(try doubt(3) != nil)
    #expect(try LayerCheck(of: vague(2), operation, pool: .shared).deviations.count > 3)
  }
}

extension FakeBackend {
  /// An engine that claims, for the forward pass of one layer, vague bounds until a plan has been executed some times. Its results are
  /// honest.
  fileprivate static func vague(
    _ engine: any ConvolutionBackend, _ layer: ConvProblem, executions: Int
  ) -> FakeBackend {
    FakeBackend("vague", engine, includesLowerings: true) {
      $0.epilogue.isEmpty ? nil : "no epilogue"
    } changing: { plan in
      let (inner, executed) = (plan.inner, Counter())
      if plan.operation.pass == .forward && plan.operation.problem == layer {
        plan.precede { executed.add() }
        plan.model = { executed.value >= executions ? inner.errorModel : .nearPoints(layer) }
      }
    }
  }
}

extension ErrorModel {
  /// F(2, 3) at 0, a, b and infinity: the differences of what is nearly equal, divided by a·b.
  fileprivate static func nearPoints(_ problem: ConvProblem) -> ErrorModel {
    let (a, b) = (0x1p-12, 0x1p-11)
    let transform = WinogradTransform(
      m: 2, r: 3, at: [1, 1, 1, 0, 0, a, b, 1],
      g: [1, 0, 0, 1, a, a * a, 1, b, b * b, 0, 0, 1].enumerated().map { index, value in
        value / [a * b, a * (a - b), b * (b - a), 1][index / 3]
      },
      bt: [a * b, -(a + b), 1, 0, 0, -b, 1, 0, 0, -a, 1, 0, 0, a * b, -(a + b), 1])
    return .winograd(vertical: transform, horizontal: transform, depth: problem.c)
  }
}

/// What sets a tolerance, and what does not.
@Suite struct TrainingFloorTests {
  /// A run whose gradients are a million times too large may deviate by no more than another.
  @Test func aRunSetsNoToleranceOfItsOwn() throws {
    let reference = try NetworkReference(path: "\(referencesRoot)/networks/lenet.safetensors")
    let scale = try #require(EnvelopeScale(1, levels: reference.levels))
    func allowed(_ factor: Double) throws -> [Double] {
      try reference.judge(scale, kappa: 1e5, sizes: [:]) { try reference.values($0).map { $0 * factor } }
        .map(\.allowed)
    }
    let honest = try allowed(1)
    #expect(honest.count == reference.quantities.count)
    #expect(try allowed(1e6) == honest)
  }

  /// κ is the amplitude of a uniform perturbation whose standard deviation is that of the errors: √3 of it, and no more.
  @Test(arguments: ConvPass.allCases) func kappaCountsTheAmplitudeOnce(_ pass: ConvPass) throws {
    let operation = ConvOperation(pass, try ConvProblem(parsing: "conv2d:n2c16h12w12k16r3s3p1"))
    let backend = try BackendRegistry.named("im2col").backend
    let plan = try backend.plan(for: operation)
    let seed = LayerCheck.seeds[0]
    let data = try ProblemData(problem: operation.problem, elementType: .float32, seed: seed, pool: .shared)
    let grid = SampleGrid.stratified(operation.problem, pass, atLeast: 256, seed: seed)
    let expectation = Expectation(grid: grid, data: data, pool: .shared)
    let bounds = try #require(ErrorBounds(model: plan.errorModel, expectation: expectation, data: data))
    // Uniform perturbations of level κ have the variance (κ·u·S)²/3.
    let kappa = try LayerCheck(of: Competitor(backend), operation, pool: .shared).kappa
    let perturbed = expectation.magnitudes.reduce(0) { $0 + pow(kappa * 0x1p-24 * $1, 2) / 3 }
    let modelled = bounds.deviations.reduce(0) { $0 + $1 * $1 }
    #expect(abs(perturbed / modelled - 1) < 1e-12, "κ \(kappa)")
  }
}
