import ConvCore
import ConvHarness
import ConvNaive
import Foundation
import Testing

@Suite struct ReferenceTests {
  @Test func storedConvolutionsLoadAndAreEnough() throws {
    let (cases, others) = try ReferenceLibrary(root: referencesRoot).convolutions()
    let counts = Dictionary(grouping: cases, by: \.op).mapValues(\.count)
    #expect(counts["conv2d", default: 0] >= 150, "\(counts)")
    for op in ["conv1d", "conv3d", "conv_transpose2d"] {
      #expect(counts[op, default: 0] >= 15, "\(op): \(counts)")
    }
    #expect(others["adam", default: 0] > 0, "\(others)")
    for tag in [
      "1x1-image", "kernel-equals-image", "kernel-exceeds-tile", "stride-exceeds-kernel", "unequal-strides",
      "four-sided-padding", "padding-exceeds-kernel", "dilation", "groups", "depthwise",
      "depthwise-multiplier", "prime-channels", "single-channel", "no-bias", "offset-data", "sparse-data",
    ] {
      let tagged = cases.count { $0.op == "conv2d" && $0.tags.contains(tag) }
      #expect(tagged >= 4, "corner \(tag) occurs \(tagged) times")
    }
  }

  @Test func naivePassesEveryStoredConvolution() throws {
    let (cases, _) = try ReferenceLibrary(root: referencesRoot).convolutions()
    let check = ReferenceCheck { _, _ in true }
    for reference in cases {
      for outcome in try check.outcomes(of: reference, backends: [NaiveBackend()])
      where outcome.verification.verdict != .passed {
        Issue.record(
          "\(outcome.op) \(outcome.name) \(outcome.operation): \(outcome.verification.verdict) \(outcome.verification.reason)"
        )
      }
    }
  }

  @Test func deviationsFromStoredTensors() throws {
    let path = try #require(try ReferenceLibrary(root: referencesRoot + "/cases/linear").paths.first)
    let file = try ReferenceFile(path: path)
    let stored = try file.tensor("output", .float64)
    func deviation(_ change: (inout [Double]) -> Void) throws -> String? {
      var values = stored.values(as: Double.self)
      change(&values)
      return try file.deviation(
        of: Tensor(values, shape: stored.shape), from: "output", tolerance: 1e-3)
    }
    let largest = stored.values(as: Double.self).map(abs).max()!
    #expect(try deviation { _ in } == nil)
    #expect(try deviation { $0[1] += 0.9e-3 * largest } == nil)
    #expect(try deviation { $0[1] += 1.1e-3 * largest }?.contains("output[1]") == true)
    #expect(try deviation { $0[1] = .nan }?.contains("nan") == true)
    #expect(try file.deviation(of: nil, from: "output", tolerance: 1)?.contains("no output") == true)
    let flat = try Tensor(stored.values(as: Double.self), shape: [stored.count])
    #expect(try file.deviation(of: flat, from: "output", tolerance: 1)?.contains("shape") == true)
    #expect(try file.deviation(of: nil, from: "nothing stored", tolerance: 1) == nil)
  }
}
