import ConvCore
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvHarness

@Suite struct ImpulseProbeTests {
  static let text = "conv2d:n2c10h13w11k20r3s3p1"

  @Test(
    arguments: VerificationTests.problems + [
      text, "conv2d:n2c6h15w14k9r3s3p0,2,1,1u2x2g3", "conv2d:c1h1w1k1r1s1",
    ])
  func holdsForTheOracle(_ text: String) throws {
    let problem = try ConvProblem(parsing: text)
    for type in [ElementType.float32, .float64] {
      let probes = try ImpulseProbe.all(NaiveBackend(), problem, elementType: type)
      #expect(!probes.isEmpty)
      for probe in probes {
        #expect(probe.holds && probe.expected >= 1, "\(text) \(type): \(probe)")
        // Sums of integers: the oracle's own have no rounding.
        #expect(probe.expected == probe.expected.rounded())
      }
    }
  }

  /// One lost element of one pass: first and last image, channel and pixel, both sides of tile borders.
  @Test(
    arguments: ConvPass.allCases,
    [
      [0, 0, 0, 0], [-1, -1, -1, -1], [-1, -1, 0, -1], [0, 0, -1, 0], [0, 0, 1, 2], [0, 0, 3, 4],
      [-1, -1, 5, 6],
      [-1, -1, 11, 9],
    ])
  func aLostElementIsSeen(_ pass: ConvPass, _ place: [Int]) throws {
    let problem = try ConvProblem(parsing: Self.text)
    let shape = problem.resultShape(pass)
    // Filters have three taps per axis only.
    let index = zip(place, shape).reduce(0) { $0 * $1.1 + ($1.0 < 0 ? $1.1 - 1 : min($1.0, $1.1 - 1)) }
    let backend = lossy(pass, index)
    let probes = try ImpulseProbe.all(backend, problem)
    let broken = probes.filter { !$0.holds }
    #expect(!broken.isEmpty, "\(pass) \(place)")
    for probe in broken {
      #expect(probe.isProbative)
      for (other, product) in zip(ConvPass.allCases, probe.products) where other != pass {
        #expect(product == probe.expected, "\(probe)")
      }
    }
  }

  /// A sum that is too uncertain is cut until it is not; what cannot be cut any more does not hold.
  @Test func wideBoundsAreCutOrRefused() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c2h5w4k3r3s3p1")
    let whole = try ImpulseProbe.all(lossy(.forward, nil), problem)
    let cut = try ImpulseProbe.all(lossy(.forward, nil, vagueness: 80), problem)
    #expect(whole.count == 3 && cut.count > whole.count)
    for probe in cut { #expect(probe.holds, "\(probe)") }
    func terms(_ probes: [ImpulseProbe]) -> Double { probes.reduce(0) { $0 + $1.expected } }
    #expect(terms(cut) == terms(whole))
    let hopeless = try ImpulseProbe.all(lossy(.forward, nil, vagueness: 1e9), problem)
    #expect(hopeless.contains { !$0.isProbative })
    for probe in hopeless { #expect(probe.isProbative == probe.holds, "\(probe)") }
    // Right sums whose tolerances are little above ½: they would hold, if a lost element could not hide there.
    let doubtful = try ImpulseProbe.all(lossy(.forward, nil, vagueness: 300), problem)
    let wide = doubtful.filter { probe in probe.tolerances.contains { $0 >= 0.5 } }
    #expect(
      wide.contains { probe in probe.tolerances.allSatisfy { $0 < 50 } }, "\(doubtful.map(\.tolerances))")
    for probe in wide { #expect(!probe.holds, "\(probe)") }
  }

  @Test func bordersAreThoseOfTheTiles() {
    #expect(ImpulseProbe.borders(1) == [0])
    #expect(ImpulseProbe.borders(3) == [0, 1, 2])
    #expect(ImpulseProbe.borders(30) == [0, 1, 2, 3, 4, 5, 6, 23, 24, 26, 27, 28, 29])
  }
}

/// The oracle, except that one element of one pass' result is lost, and that it may claim wider bounds than it needs.
private func lossy(_ pass: ConvPass, _ index: Int?, vagueness: Double? = nil) -> FakeBackend {
  FakeBackend(
    "lossy",
    changing: { plan in
      let planned = plan.operation.pass
      if let vagueness { plan.model = { .vague(planned, vagueness) } }
      if let index, planned == pass { plan.spoil { result, _ in result[index] = 0 } }
    })
}
