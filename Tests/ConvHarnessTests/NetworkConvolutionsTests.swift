import ConvAutograd
import ConvBackends
import ConvCore
import ConvNN
import ConvTestSupport
import Testing

@testable import ConvHarness

/// The convolutions of a step that computes none.
@Suite struct NetworkConvolutionsTests {
  /// Computes with `direct` what has no 128 channels.
  private static let narrow = FakeBackend("narrow", .direct, includesLowerings: true) {
    [$0.problem.c, $0.problem.k].contains(128) ? "128 channels are too many" : nil
  }

  /// The operations of a step that computes.
  private func executed(
    _ network: ImageNetwork, _ engine: any ConvolutionBackend, fallback: (any ConvolutionBackend)? = nil,
    batch: Int
  ) throws -> [ExecutionRecorder.Entry] {
    let recorder = ExecutionRecorder()
    let model = try network.make()
    try initialize(model, seed: 1)
    let images = try Tensor.zeros(network.inputShape(batch: batch))
    let labels = try Tensor((0..<batch).map { Int64($0) }, shape: [batch])
    try withBackend(engine, fallback: fallback, recorder: recorder) {
      try CrossEntropyLoss()(model(Variable(images)), labels).backward()
    }
    return recorder.entries
  }

  @Test(arguments: ["seed-cnn", "lenet", "resnet18", "mobilenet-v2"])
  func areThoseOfARealStep(_ name: String) throws {
    let network = try #require(ImageNetwork.named(name))
    let found = try NetworkConvolutions(of: network, batch: 3, on: Competitor(.direct), threads: 2)
    let real = try executed(network, .direct, batch: 3)
    #expect(found.entries.map(\.operation) == real.map(\.operation) && found.entries.count > 3)
    #expect(!found.entries.contains(where: \.isFallback) && !found.entries.contains { $0.layer.isEmpty })
    // Nothing asks for the gradient of the images.
    #expect(found.entries.count { $0.operation.pass == .backwardData } < found.entries.count / 2)
    let problems = found.problems
    #expect(Set(problems.map(\.problem)).count == problems.count)
    #expect(problems.reduce(0) { $0 + $1.multiplicity } == Set(found.entries.map(\.layer)).count)
    #expect(problems[0].passes == [.forward, .backwardFilter] && problems[0].problem.n == 3)
  }

  /// What an engine declines is the fallback's; in the engine's format, or in that of the images' owner.
  @Test func fallbacksAndFormatsAreAsInAStep() throws {
    let network = try #require(ImageNetwork.named("resnet18"))
    let found = try NetworkConvolutions(
      of: network, batch: 2, on: Competitor(Self.narrow), fallback: Competitor(.direct), threads: 2)
    let real = try executed(network, Self.narrow, fallback: .direct, batch: 2)
    #expect(found.entries.map(\.operation) == real.map(\.operation))
    #expect(found.entries.map(\.isFallback) == real.map(\.isFallback))
    #expect(Set(found.entries.map(\.isFallback)) == [true, false])
    #expect(throws: ConvError.self) {
      try NetworkConvolutions(of: network, batch: 2, on: Competitor(Self.narrow), threads: 2)
    }
  }
}
