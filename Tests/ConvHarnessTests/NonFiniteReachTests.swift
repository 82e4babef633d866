import ConvCore
import ConvTestSupport
import Testing

@testable import ConvHarness

/// How far an element that is no number reaches, by places counted by hand.
@Suite struct NonFiniteReachTests {
  private func places(_ flags: [Bool]) -> [Int] { flags.indices.filter { flags[$0] } }

  private static let ones = WinogradTransform(
    m: 2, r: 3, at: [1, 1, 1, 0, 0, 1, -1, -1], g: [1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1],
    bt: [1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1])
  private static let sums = ErrorModel.summation(.chain, accumulator: .float32)
  private static let tiles = ErrorModel.winograd(vertical: ones, horizontal: ones, depth: 1)
  private static let transforms = ErrorModel.fft(height: 8, width: 8, stepH: 6, stepW: 6, depth: 1)

  /// 1 image, 1 channel, 6 × 8 pixels, padding 1: pixel (3, 4) is read by rows 2...4 and columns 3...5.
  @Test func imagesReachTheirWindowsAndTiles() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c1h6w8k1r3s3p1")
    func area(_ rows: ClosedRange<Int>, _ columns: ClosedRange<Int>) -> [Int] {
      rows.flatMap { row in columns.map { row * 8 + $0 } }
    }
    for pass in [ConvPass.forward, .backwardData] {
      func reach(_ model: ErrorModel) throws -> NonFiniteReach {
        try #require(NonFiniteReach(model, problem, pass, isSecond: false, index: 3 * 8 + 4))
      }
      let plain = try reach(Self.sums)
      #expect(places(plain.must) == area(2...4, 3...5) && plain.may == plain.must)
      // Tiles of 2 × 2 results with windows of 4 × 4: rows 2...3 read pixels 1...4, rows 4...5 read 3...6.
      let winograd = try reach(Self.tiles)
      #expect(winograd.must == plain.must)
      #expect(places(winograd.may) == area(2...5, 2...5), "\(pass): \(places(winograd.may))")
      #expect(places(try reach(Self.transforms).may) == area(0...5, 0...7))
    }
  }

  /// 2 images, 2 groups of 2 channels into 1, 2 depths read by 1 tap: 3 × 3 results each.
  @Test func fourierTransformsKeepToTheirPlanes() throws {
    let problem = try ConvProblem(parsing: "conv3d:n2c4d2h3w3k2t1r3s3p0,0,1,1,1,1g2")
    // Image 1, channel 2, depth 1, the last pixel: channel 1 of the results.
    let index = ((1 * 4 + 2) * 2 + 1) * 9 + 8
    let reach = try #require(
      NonFiniteReach(Self.transforms, problem, .forward, isSecond: false, index: index))
    #expect(places(reach.may) == Array(((1 * 2 + 1) * 2 + 1) * 9..<((1 * 2 + 1) * 2 + 2) * 9))
    #expect(places(reach.must).count == 4)
  }

  /// 1-D, 5 pixels, 3 taps, padding 1: tap 0 meets the padding in the first output.
  @Test func filtersReachTheirChannelsAndThePadding() throws {
    let problem = try ConvProblem(parsing: "conv1d:n1c2w5k2s3p1")
    // Filter 1, channel 0, tap 0.
    let forward = try #require(NonFiniteReach(Self.sums, problem, .forward, isSecond: true, index: 6))
    #expect(places(forward.must) == [6, 7, 8, 9] && places(forward.may) == [5, 6, 7, 8, 9])
    let backward = try #require(
      NonFiniteReach(Self.sums, problem, .backwardData, isSecond: true, index: 6))
    #expect(places(backward.must) == [0, 1, 2, 3] && places(backward.may) == [0, 1, 2, 3, 4])
    // The first output of filter 1: its taps read padding, pixel 0 and pixel 1.
    let gradient = try #require(
      NonFiniteReach(Self.sums, problem, .backwardFilter, isSecond: true, index: 5))
    #expect(places(gradient.must) == [7, 8, 10, 11] && places(gradient.may) == [6, 7, 8, 9, 10, 11])
  }

  /// Stride 2: a tap meets elements of one residue only, padding or not; a transformed filter is in all results of its channel.
  @Test func residuesOfStridesStayApart() throws {
    let problem = try ConvProblem(parsing: "conv1d:n1c1w7k1s3p1u2")
    func may(_ model: ErrorModel, _ tap: Int) throws -> [Int] {
      places(try #require(NonFiniteReach(model, problem, .backwardData, isSecond: true, index: tap)).may)
    }
    #expect(try may(Self.sums, 0) == [1, 3, 5] && may(Self.sums, 1) == [0, 2, 4, 6])
    #expect(try may(Self.transforms, 0) == Array(0..<7))
  }
}

/// Limits of magnitudes, against products of row sums made by hand.
@Suite struct FiniteRangeTests {
  private let largest = Double(Float.greatestFiniteMagnitude)

  private func isJustBelow(_ value: Double, _ limit: Double) -> Bool {
    value < limit && value > limit * (1 - 1e-4)
  }

  @Test func sumsOfProducts() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c6h6w8k4r3s3p1g2")
    let model = ErrorModel.summation(.chain, accumulator: .float32)
    for (pass, terms) in [(ConvPass.forward, 27.0), (.backwardData, 18), (.backwardFilter, 96)] {
      let range = FiniteRange(model, pass, problem, .float32)
      #expect(range.first == largest && range.second == largest)
      #expect(isJustBelow(range.product, largest / terms), "\(pass): \(range)")
      #expect(range.text(pass).hasPrefix("|\(pass == .backwardData ? "dy" : "x")|·|"))
      #expect(!range.text(pass).contains(","))
    }
    let double = FiniteRange(model, .forward, problem, .float64)
    #expect(isJustBelow(double.product, .greatestFiniteMagnitude / 27))
  }

  /// F(2, 3): rows of Bᵀ sum to 2 each, of G to 1, 3/2, 3/2, 1; products to 2, 3, 3, 2; both rows of Aᵀ to 8.
  @Test func winograd() throws {
    let transform = WinogradTransform(
      m: 2, r: 3, at: [1, 1, 1, 0, 0, 1, -1, -1],
      g: [1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1],
      bt: [1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1])
    let model = ErrorModel.winograd(vertical: transform, horizontal: transform, depth: 5)
    let problem = try ConvProblem(parsing: "conv2d:n1c5h6w8k4r3s3p1")
    let range = FiniteRange(model, .forward, problem, .float32)
    #expect(isJustBelow(range.first, largest / 4) && isJustBelow(range.second, largest / 2.25))
    #expect(isJustBelow(range.product, largest / (5 * 64)), "\(range)")
    #expect(range.text(.forward) == "|x|·|w| up to 1.0e+36, |x| up to 8.5e+37, |w| up to 1.5e+38")
    // Tiles of 3 × 3 elements of dy: 2 × 3 in 6 × 8.
    let gradient = FiniteRange(model, .backwardFilter, problem, .float32)
    #expect(isJustBelow(gradient.product, largest / (6 * 64)))
    let phases = FiniteRange(.polyphase([model, model]), .forward, problem, .float32)
    #expect(phases.first == range.first && isJustBelow(phases.product, range.product / 2))
  }

  /// 16 × 16 elements: 256 per transform, and twice that for packed lines; 256^{3/2} times the terms' sum.
  @Test func fourier() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c5h12w12k4r3s3p1")
    let range = FiniteRange(
      .fft(height: 16, width: 16, stepH: 14, stepW: 14, depth: 5), .forward, problem, .float32)
    #expect(isJustBelow(range.first, largest / 512) && isJustBelow(range.second, largest / 18))
    #expect(isJustBelow(range.product, largest / (2 * 4096 * 45)), "\(range)")
  }

  /// A result that overflowed comes with the limit, where it is that; a wrong one without.
  @Test func failuresNameTheLimit() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c2h4w5k2r3s3p1")
    var data = try ProblemData(problem: problem, seed: 1)
    let spoilt = FakeBackend.plugin { _, y, _ in y[3] = .infinity }
    func reason() -> String {
      let expectation = Expectation(grid: .all(problem, .forward), data: data)
      return Verifier().verify(
        spoilt, ConvOperation(.forward, problem), PlanOptions(), data: data, expectation: expectation
      ).reason
    }
    #expect(reason().contains("result inf") && !reason().contains("finite for"), "\(reason())")
    // 18 terms: up to 1.8e37.
    data.input = try .full(problem.inputShape, Float(2e37))
    data.filter = try .full(problem.filterShape, Float(1))
    #expect(reason().contains("finite for |x|·|w| up to 1.8e+37, here |x| is up to 2.0e+37"), "\(reason())")
    data.input = try .full(problem.inputShape, Float(1.8e37))
    #expect(!reason().contains("finite for"), "\(reason())")
  }
}
