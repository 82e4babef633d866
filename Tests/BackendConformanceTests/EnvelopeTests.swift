import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Which envelope a κ is judged by.
@Suite struct EnvelopeTests {
  @Test func theUpperLevelCounts() throws {
    let levels = [256, 1, 16, 4]
    for (kappa, level) in [(0.1, 1), (0.5, 1), (0.51, 4), (2, 4), (2.01, 16), (8, 16), (128, 256)] {
      let scale = try #require(EnvelopeScale(kappa, levels: levels))
      #expect(scale.level == level)
      #expect(scale.allowance { [Double($0), 0] } == [2 * Double(level), 0])
    }
    #expect(EnvelopeScale(128.1, levels: levels) == nil)
  }

  /// A step of ResNet-18 with a perturbation of exactly κ = 4 is what κ = 4 says, whichever levels are stored. The chord between 1 and 16
  /// would call it wrong: one ReLU that falls the other way changes every gradient before it.
  @Test(arguments: [[1, 16, 256], [1, 2, 4, 8, 16, 32, 64], [8], [1, 8, 64]])
  func exactPerturbationPasses(_ levels: [Int]) throws {
    let reference = try NetworkReference(path: "\(referencesRoot)/networks/resnet18.safetensors")
    let step = try ReferenceFile(path: "\(referencesRoot)/networks/perturbed/resnet18.safetensors")
    let kappa = Double(try step.integer("level", least: 1))
    let model = try reference.network.make()
    let sizes = Dictionary(model.namedParameters().map { ($0.name, $0.parameter.value.count) }) { $1 }
    func ratios(_ scale: EnvelopeScale, _ kappa: Double) throws -> [Double] {
      try reference.judge(scale, kappa: kappa, sizes: sizes) {
        try step.tensor($0, .float64).values(as: Double.self)
      }.map(\.ratio)
    }
    let found = try ratios(try #require(EnvelopeScale(kappa, levels: levels)), kappa)
    #expect(found.count == reference.quantities.count && found.allSatisfy { $0 <= 1 }, "\(found.max() ?? 0)")
    // That it is one is seen: sums with a sixteenth of its κ do not deviate so.
    #expect(try ratios(try #require(EnvelopeScale(kappa / 16, levels: [1])), kappa / 16).contains { $0 > 1 })
  }
}
