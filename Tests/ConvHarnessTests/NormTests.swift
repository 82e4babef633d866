import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvHarness

@Suite struct NormTests {
  @Test func normsAreWhatTheirFormulasSay() {
    let norms = ErrorNorms(
      results: [1.5, -4, 0, 12], values: [1, -4, 0, 8], magnitudes: [5, 4, 0, 16], elementType: .float32)
    // Errors ½, 0, 0, 4.
    #expect(norms.relativeToTerms == 0.25)
    #expect(abs(norms.relativeL2 - (16.25 / 81.0).squareRoot()) < 1e-15)
    // ½ / 2⁻²³ and 4 / 2⁻²⁰ are both 2²²; the 99th percentile of four values lies between the two largest.
    #expect(norms.ulp99 == 0x1p22)
    let exact = ErrorNorms(results: [0, 2], values: [0, 2], magnitudes: [0, 2], elementType: .float64)
    #expect(exact.relativeToTerms == 0 && exact.relativeL2 == 0 && exact.ulp99 == 0)
    // A result without a term: the bounds judge it, and the norm of all errors knows it.
    let stray = ErrorNorms(results: [0.5, 2], values: [0, 2], magnitudes: [0, 2], elementType: .float32)
    #expect(stray.relativeToTerms == 0 && stray.ulp99 == 0 && stray.relativeL2 == 0.25)
    let broken = ErrorNorms(results: [.nan, 2], values: [1, 2], magnitudes: [1, 2], elementType: .float32)
    #expect(broken.relativeToTerms == .infinity && broken.ulp99 == .infinity)
  }

  /// One result of a hundred may be far off without the 99th percentile showing it: it is no maximum.
  @Test func thePercentileIsTheNinetyNinth() {
    let values = (0..<1000).map { _ in 1.0 }
    func norms(_ wrong: Int) -> ErrorNorms {
      let results = values.indices.map { $0 < wrong ? 1 + 0x1p-20 : 1 }
      return ErrorNorms(results: results, values: values, magnitudes: values, elementType: .float32)
    }
    #expect(norms(9).ulp99 == 0 && norms(11).ulp99 == 8)
  }

  @Test func unitsInTheLastPlace() {
    for value: Float in [1, 1.999, 2, -3, 0.75, 1e-30, 3e38, 1.2e-38] {
      #expect(ErrorNorms.ulp(Double(value), .float32) == Double(value.ulp), "\(value)")
    }
    // Subnormal numbers and zero: the smallest distance there is.
    for value in [0, 1e-40, -2e-45] { #expect(ErrorNorms.ulp(value, .float32) == 0x1p-149, "\(value)") }
    #expect(ErrorNorms.ulp(3, .float64) == (3.0).ulp)
    #expect(ErrorNorms.ulp(0, .float64) == Double.leastNonzeroMagnitude)
  }

  @Test func everyVerdictHasThem() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c16h20w20k24r3s3p1")
    let data = try ProblemData(problem: problem, distribution: .normal, seed: 5)
    let expectation = Expectation(grid: .stratified(problem, .forward, seed: 5), data: data)
    func verify(_ backend: any ConvolutionBackend) -> Verification {
      Verifier().verify(
        backend, ConvOperation(.forward, problem), PlanOptions(), data: data, expectation: expectation)
    }
    let good = verify(NaiveBackend())
    let norms = try #require(good.norms)
    // Rounded once: half a place at most, and half a unit roundoff of the result.
    #expect(norms.ulp99 > 0.4 && norms.ulp99 <= 0.5, "\(norms)")
    #expect(norms.relativeL2 > 0 && norms.relativeL2 < 0x1p-24 && norms.relativeToTerms < 0x1p-24)
    #expect(good.errorBoundWorst >= good.errorBound)
    #expect(good.errorText.contains(" = ") && good.errorText.hasSuffix(" × bound"), "\(good.errorText)")
    let wrong = verify(FakeBackend.scaled { _ in 1.25 })
    #expect(abs(try #require(wrong.norms).relativeL2 - 0.25) < 1e-6)
    #expect(Verification(.unsupported, reason: "no").errorText.isEmpty)
    var text = Verification(.passed, reason: "")
    (text.errorBound, text.errorRatio) = (1.4e-5, 0.2217)
    #expect(text.errorText == "3.1e-06 = 0.22 × bound")
  }

  // MARK: Sampling

  @Test func missProbabilities() {
    // By hand: 2 of 5, one of them wrong: 3/5. Two wrong (⌈0.3·5⌉): 3/5 · 2/4.
    #expect(abs(SampleCoverage.missProbability(sampled: 2, of: 5, fraction: 0.2) - 0.6) < 1e-15)
    #expect(abs(SampleCoverage.missProbability(sampled: 2, of: 5, fraction: 0.3) - 0.3) < 1e-15)
    #expect(SampleCoverage.missProbability(sampled: 5, of: 5, fraction: 0.2) == 0)
    #expect(SampleCoverage.missProbability(sampled: 0, of: 5, fraction: 0.2) == 1)
    #expect(SampleCoverage.missProbability(sampled: 4, of: 5, fraction: 0.4) == 0)
    // Large populations: (1 − f)ˢ.
    let many = SampleCoverage.missProbability(sampled: 256, of: 100_000_000, fraction: 0.01)
    #expect(abs(many / 0.0763 - 1) < 0.01, "\(many)")
  }

  /// The probabilities of tiles and channels are the shares that no sample falls into, counted in another way.
  @Test(arguments: ConvPass.allCases)
  func coverageCountsTheGrid(_ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: "conv2d:n3c40h50w41k70r3s3p1")
    let grid = SampleGrid.stratified(problem, pass, seed: 3)
    let coverage = SampleCoverage(grid)
    let shape = problem.resultShape(pass)
    #expect(coverage.total == shape.reduce(1, *) && coverage.sampled == grid.count)
    var (unseen, tiles) = (0, 0)
    for first in 0..<shape[0] {
      for top in stride(from: 0, to: shape[2], by: 4) {
        for left in stride(from: 0, to: shape[3], by: 4) {
          tiles += 1
          let isSeen = grid.rows.contains {
            $0.first == first && (top..<top + 4).contains($0.at.h) && (left..<left + 4).contains($0.at.w)
          }
          if !isSeen { unseen += 1 }
        }
      }
    }
    #expect(abs(coverage.tile - Double(unseen) / Double(tiles)) < 1e-12, "\(coverage)")
    #expect(abs(coverage.channel - Double(shape[1] - grid.columns.count) / Double(shape[1])) < 1e-12)
    #expect(coverage.scattered < 0.1 && coverage.tile > 0.1)
    #expect("\(coverage)".contains("\(grid.count) of \(coverage.total)"))
    let whole = SampleCoverage(.all(try problem.withBatch(1), pass))
    #expect(whole.scattered == 0 && whole.tile == 0 && whole.channel == 0 && whole.sampled == whole.total)
  }

  // MARK: Not vacuous

  /// All zeros, or a result without one filter tap (one row of dy), passes on no kind of data in no pass.
  @Test(arguments: ConvPass.allCases, DataDistribution.allCases)
  func zerosAndMissingTapsNeverPass(_ pass: ConvPass, _ distribution: DataDistribution) throws {
    let zeros = FakeBackend.plugin { _, result, _ in result.update(repeating: 0) }
    let tapless = FakeBackend.plugin(losesTap: true)
    for text in ["conv2d:n2c8h13w14k10r3s3p1", "conv2d:n1c6h11w12k4r5s5p2", "conv2d:n2c8h9w9k6r3s3u2p1g2"] {
      let problem = try ConvProblem(parsing: text)
      let data = try ProblemData(problem: problem, distribution: distribution, seed: 4)
      let expectation = Expectation(grid: .stratified(problem, pass, seed: 4), data: data)
      for (backend, verdict) in [
        (FakeBackend.plugin(), Verdict.passed), (zeros, .failed), (tapless, .failed),
      ] {
        let result = Verifier().verify(
          backend, ConvOperation(pass, problem), PlanOptions(), data: data, expectation: expectation)
        let isCoarse = verdict == .passed && distribution == .smallIntegers
        #expect(result.verdict == (isCoarse ? .mistrusted : verdict), "\(text) \(distribution): \(result)")
      }
    }
  }

  /// A filter whose middle tap is next to nothing: who loses it would pass, so that nobody may.
  @Test func aTapThatDoesNotMatterIsMistrusted() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c4h8w8k4r3s3p1")
    var data = try ProblemData(problem: problem, seed: 3)
    data.filter.withUnsafeMutablePointer(as: Float.self) { values in
      for plane in 0..<16 { values[plane * 9 + 4] *= 1e-12 }
    }
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    let result = Verifier().verify(
      NaiveBackend(), ConvOperation(.forward, problem), PlanOptions(), data: data, expectation: expectation)
    #expect(result.verdict == .mistrusted && result.reason.contains("filter tap"), "\(result)")
  }
}
