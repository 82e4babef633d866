import ConvBackends
import ConvCore
import ConvHarness
import Foundation
import Testing

/// Tests as failures print them: they compile, and run on the engine and the data that the failure names.
@Suite struct GeneratedTests {
  private func failures() throws -> [FailureCase] {
    [
      FailureCase(
        competitor: Competitor(try BackendRegistry.named("winograd").backend, variant: "tile=2x2"),
        operation: ConvOperation(
          .forward, try ConvProblem(parsing: "conv2d:n1c3h5w6k2r3s3p1"), inputFormat: .nhwc,
          outputFormat: .nhwc),
        filterState: .prepared, distribution: .smallIntegers, seed: 3),
      FailureCase(
        competitor: Competitor(try BackendRegistry.named("naive").backend),
        operation: ConvOperation(
          .backwardFilter, try ConvProblem(parsing: "conv1d:n2c4w9k2s3"), elementType: .float64), seed: 7),
    ]
  }

  /// But for line breaks, which the formatter sets.
  @Test func theyStandBelow() throws {
    let source = try String(contentsOfFile: #filePath, encoding: .utf8).filter { !$0.isWhitespace }
    for failure in try failures() {
      #expect(source.contains(failure.test.filter { !$0.isWhitespace }), "\(failure.test)")
    }
  }

  @Test func winogradTile2x2ForwardN1c3h5w6k2r3s3p1Integers() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c3h5w6k2r3s3p1")
    let backend = try BackendRegistry.named("winograd").backend
    let data = try ProblemData(
      problem: problem, distribution: .smallIntegers, seed: 3)
    let expectation = try Expectation(of: .forward, data: data, seed: 3)
    let operation = ConvOperation(.forward, problem, inputFormat: .nhwc, outputFormat: .nhwc)
    let options = PlanOptions(filterState: .prepared, variant: "tile=2x2")
    let result = Verifier().verify(
      backend, operation, options, data: data, expectation: expectation, repeatingFrom: 3)
    #expect(result.verdict == .passed, "\(result.reason)")
  }

  @Test func naiveBackwardFilterConv1dN2c4w9k2s3Float64Uniform() throws {
    let problem = try ConvProblem(parsing: "conv1d:n2c4w9k2s3")
    let backend = try BackendRegistry.named("naive").backend
    let data = try ProblemData(
      problem: problem, elementType: .float64, distribution: .uniform, seed: 7)
    let expectation = try Expectation(of: .backwardFilter, data: data, seed: 7)
    let operation = ConvOperation(.backwardFilter, problem, elementType: .float64)
    let options = PlanOptions()
    let result = Verifier().verify(
      backend, operation, options, data: data, expectation: expectation, repeatingFrom: 7)
    #expect(result.verdict == .passed, "\(result.reason)")
  }
}
