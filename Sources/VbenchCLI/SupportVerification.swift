import ArgumentParser
import ConvBackends
import ConvHarness

/// What `vbench run` and `vbench tune` verify on.
struct VerificationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Distribution of the operands: uniform (on [-1, 1)), normal, integers (-2 to 2), sparse (nine of ten are zero), offset "
        + "(normal about 8).", valueName: "name"),
    completion: .list(DataDistribution.allCases.map(\.rawValue)))
  var data = "uniform"

  /// The distribution that `--data` names.
  ///
  /// - Throws: `UnknownNameError`.
  func distribution() throws -> DataDistribution {
    guard let value = DataDistribution(rawValue: data) else {
      throw UnknownNameError(kind: "data", name: data, known: DataDistribution.allCases.map(\.rawValue))
    }
    return value
  }
}

/// What is done about failures.
struct ShrinkOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Seconds for shrinking a failure to a minimal one, of which the tensors are saved; 0: not at all.",
      valueName: "seconds"))
  var shrink = 10.0

  mutating func validate() throws {
    guard (0...86_400).contains(shrink) else {
      throw ValidationError("--shrink is \(shrink), 0 to 86400 seconds are possible")
    }
  }
}

extension RandomProblems {
  /// Small problems within what an engine of the registry must support.
  init(for backend: String) {
    let entry = MinimumSupport.table.first { $0.backend == backend }
    self.init(taps: entry?.taps, strides: entry?.strides ?? true, largestFLOPs: 3e5)
  }
}
