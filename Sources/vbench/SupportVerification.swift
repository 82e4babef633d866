import ArgumentParser
import ConvHarness

/// What `vbench run` verifies on.
struct VerificationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Distribution of the operands: uniform (on [-1, 1)), normal, integers (-2 to 2), sparse (nine of ten are zero), offset "
        + "(normal about 8).", valueName: "name"))
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
