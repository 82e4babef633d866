import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

/// Every engine on every stored reference, every pass that it supports, both element types.
@Suite struct ReferenceTests {
  static let paths: [String] = {
    let library = try? ReferenceLibrary(root: referencesRoot)
    return (library?.paths ?? []).filter { path in
      ReferenceCase.operations.contains { path.contains("/\($0)/") }
    }
  }()

  @Test func thereAreEnoughCases() throws {
    let library = try ReferenceLibrary(root: referencesRoot)
    let (cases, others) = try library.convolutions()
    let counts = Dictionary(grouping: cases, by: \.op).mapValues(\.count)
    #expect(counts["conv2d", default: 0] >= 150)
    for op in ["conv1d", "conv3d", "conv_transpose2d"] { #expect(counts[op, default: 0] >= 15, "\(op)") }
    #expect(Self.paths.count == cases.count)
    for op in [
      "linear", "max_pool2d", "avg_pool2d", "relu", "flatten", "dropout", "batch_norm2d", "cross_entropy",
      "mse_loss", "bce_with_logits_loss", "sgd", "adam", "adamw",
    ] {
      #expect(others[op, default: 0] >= 3, "\(op)")
    }
  }

  @Test(arguments: [
    "1x1-image", "kernel-equals-image", "kernel-exceeds-tile", "stride-exceeds-kernel", "unequal-strides",
    "four-sided-padding", "padding-exceeds-kernel", "dilation", "groups", "depthwise",
    "depthwise-multiplier", "prime-channels", "single-channel", "no-bias", "offset-data", "sparse-data",
  ])
  func everyCornerIsThereFourTimes(_ tag: String) throws {
    let cases = try ReferenceLibrary(root: referencesRoot).convolutions().cases
    #expect(cases.count { $0.op == "conv2d" && $0.tags.contains(tag) } >= 4)
  }

  @Test(arguments: paths)
  func agreesWithPyTorch(_ path: String) throws {
    let reference = try ReferenceCase(path: path)
    let check = ReferenceCheck { MinimumSupport.requires($0, $1) }
    let outcomes = try check.outcomes(of: reference, backends: BackendRegistry.all)
    var compared = 0
    for outcome in outcomes {
      if outcome.verification.verdict == .passed { compared += 1 }
      #expect(
        !outcome.isFailure,
        """
        \(outcome.backend) \(outcome.operation) on \(reference.name): \(outcome.verification.verdict.rawValue), \
        \(outcome.verification.reason)
        repro: \(outcome.repro)
        """)
    }
    // The engines without limits on filters, on three passes in their element types, at least.
    let unlimited = MinimumSupport.table.filter {
      $0.taps == nil && BackendRegistry.names.contains($0.backend)
    }
    #expect(compared >= 3 * unlimited.map(\.elementTypes.count).reduce(0, +))
  }
}
