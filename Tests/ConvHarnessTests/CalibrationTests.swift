import ConvBackends
import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvHarness

/// What a calibration does, without a look at its times.
@Suite struct CalibrationTests {
  private func items() throws -> [RunItem] {
    try ["conv2d:n1c2h6w5k3r3s3p1", "conv2d:n2c3h4w4k2r1s1"].flatMap { text in
      try [ConvPass.forward, .backwardFilter].map {
        RunItem(
          suite: "tiny", problem: BenchmarkProblem(try ConvProblem(parsing: text)), pass: $0, format: .nhwc)
      }
    }
  }

  private let candidates = [Competitor(FakeBackend.plugin()), Competitor(NaiveBackend())]

  @Test func everyCandidateOfEveryItemIsMeasured() throws {
    let items = try items()
    var progress: [Double] = []
    let calibration = try Calibration(
      items, candidates: candidates, visits: 2, seconds: 600, progress: { progress.append($0) })
    #expect(calibration.unreached == 0 && calibration.seconds > 0)
    #expect(
      calibration.measurements.map { "\($0.item.problem.problem) \($0.item.pass) \($0.label)" }
        == items.flatMap { item in
          candidates.map { "\(item.problem.problem) \(item.pass) \($0.label)" }
        })
    for (measurement, index) in zip(calibration.measurements, 0...) {
      let (item, candidate) = (items[index / 2], candidates[index % 2])
      let work = try candidate.backend.work(for: item.operation, PlanOptions(threads: 1))
      #expect(measurement.work == work && work != ConvWork())
      #expect(measurement.nanoseconds > 0 && measurement.nanoseconds.isFinite)
      // One of two rounds at least in each of two visits.
      #expect((2...4).contains(measurement.samples), "\(measurement.samples)")
    }
    #expect(calibration.samples.map(\.item) == [0, 0, 1, 1, 2, 2, 3, 3])
    #expect(calibration.samples.map(\.nanoseconds) == calibration.measurements.map(\.nanoseconds))
    #expect(calibration.samples.map(\.work) == calibration.measurements.map(\.work))
    #expect(progress.count == 8 && progress == progress.sorted() && progress.allSatisfy { 0...1 ~= $0 })
  }

  @Test func whatIsLeftOutPricesNothing() throws {
    let items = try items()
    let calibration = try Calibration(
      items, candidates: candidates + [Competitor(NaiveBackend(), variant: "none such")], visits: 1,
      seconds: 600, isCandidate: { $0.label == "naive" || $1.pass == .forward })
    #expect(
      calibration.measurements.map(\.label)
        == items.flatMap { $0.pass == .forward ? ["plugin", "naive"] : ["naive"] })
  }

  /// Each once, and the first few from all parts of the list.
  @Test func itemsAreVisitedFarApart() {
    for count in [0, 1, 2, 4, 7, 210] {
      let order = Calibration.order(count)
      #expect(order.sorted() == Array(0..<count), "\(count): \(order)")
    }
    let first = Set(Calibration.order(210).prefix(21).map { $0 / 30 })
    #expect(first.count == 7, "\(first)")
  }

  @Test func timeThatIsOverEndsIt() throws {
    let items = try items()
    let none = try Calibration(items, candidates: candidates, seconds: 0)
    #expect(none.unreached == items.count && none.measurements.isEmpty && none.samples.isEmpty)
    // Asked before each item: two are done.
    var asked = 0
    let two = try Calibration(
      items, candidates: candidates, seconds: 600,
      shouldStop: {
        asked += 1
        return asked > 2
      })
    #expect(two.unreached == items.count - 2 && two.measurements.count == 4)
    // Later visits only add samples.
    asked = 0
    let visited = try Calibration(
      items, candidates: candidates, visits: 3, seconds: 600,
      shouldStop: {
        asked += 1
        return asked > items.count + 1
      })
    #expect(visited.unreached == 0 && visited.measurements.count == 2 * items.count)
    #expect(visited.measurements[0].samples > visited.measurements[7].samples)
  }

  // MARK: The list

  /// An audit on built-in suites says what a profile is worth elsewhere.
  @Test func noLayerOfASuiteIsMeasured() throws {
    let own = Set(try Calibration.items.map { try $0.problem.problem.withBatch(1) })
    #expect(own.count > 25 && Calibration.items.count == Set(Calibration.items).count)
    for suite in BenchmarkSuite.builtIn {
      for problem in suite.problems {
        #expect(!own.contains(try problem.problem.withBatch(1)), "\(suite.name) \(problem.problem)")
      }
    }
  }

  /// Every kind of work that a table prices is touched by some candidate of `auto`, in every pass and format.
  @Test func everyPricedKindIsTouched() throws {
    let zen5 = MachineProfile.known(
      for: MachineProfile.Machine(
        processor: ProcessorModel(name: "", vendor: "AuthenticAMD", family: 26, model: 2, stepping: 1),
        instructionSet: .avx512, libraryCore: nil))
    #expect(zen5.origin == .builtIn)
    let auto = AutoBackend(profile: zen5)
    var total = ConvWork()
    for item in Calibration.items {
      for candidate in auto.candidates where auto.considers(candidate, item.operation) {
        let options = PlanOptions(threads: 1, variant: candidate.variant)
        if let work = try? candidate.backend.work(for: item.operation, options) { total = total + work }
      }
    }
    var expected = Set(ConvWork.Kind.allCases.filter { zen5.prices[$0] > 0 })
    expected.remove(.modelled)
    #if !FFTW
      expected.subtract([.fourier, .spectralProducts, .libraryTransforms])
    #endif
    #if !OpenBLAS
      expected.subtract([.libraryProducts, .packedShared, .packedFar])
    #endif
    for kind in expected { #expect(total[kind] > 0, "nothing prices \(kind)") }
    #expect(Set(Calibration.items.map(\.pass)) == Set(ConvPass.allCases))
    #expect(Set(Calibration.items.map(\.format)) == Set(MemoryFormat.allCases))
  }
}
