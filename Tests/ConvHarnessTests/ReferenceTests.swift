import ConvCore
import ConvHarness
import ConvNaive
import ConvTestSupport
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
}
