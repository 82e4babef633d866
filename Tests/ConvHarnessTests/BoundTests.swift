import ConvCore
import ConvNaive
import Foundation
import Testing

@testable import ConvHarness

/// Bounds are what their derivation says: against simulation, against sums in float32, against small cases by hand.
@Suite struct BoundTests {
  /// Terms in random order, many times: the mean of Σs² is that of the formula.
  @Test(arguments: [SumShape.chain, .blocks(length: 8), .blocks(length: 32), .pairs], [0.0, 1.0])
  func meanSquaresOfPartialSums(_ shape: SumShape, _ mean: Double) throws {
    let seed = UInt64.random(in: 0..<1 << 32)
    var random = PhiloxGenerator(seed: seed, stream: 1)
    let k = 256
    var terms = (0..<k).map { _ in Double.random(in: -1...1, using: &random) + mean }
    let (y, q) = (terms.reduce(0, +), terms.reduce(0) { $0 + $1 * $1 })
    var found = 0.0
    let rounds = 2000
    for _ in 0..<rounds {
      terms.shuffle(using: &random)
      found += Self.squares(of: terms, shape) / Double(rounds)
    }
    let sums = SumRoundings(shape, terms: k)
    let expected = sums.ofTotal * y * y + sums.ofTerms * q
    // Pairs are rounded up; the others are exact but for 1/k.
    #expect(
      found <= 1.06 * expected && found >= 0.7 * expected,
      "\(shape), mean \(mean), seed \(seed): \(found), \(expected)")
    // What nobody knows is at least that.
    let unknown = SumRoundings(.unknown(depth: sums.longest), terms: k)
    #expect(unknown.ofTotal * y * y + unknown.ofTerms * q >= 0.99 * expected, "\(shape)")
  }

  /// Σs² of all partial sums.
  private static func squares(of terms: [Double], _ shape: SumShape) -> Double {
    var total = 0.0
    func chain(_ terms: ArraySlice<Double>, countsFirst: Bool = true) -> Double {
      var sum = 0.0
      for (i, term) in terms.enumerated() {
        sum += term
        if countsFirst || i > 0 { total += sum * sum }
      }
      return sum
    }
    switch shape {
    case .chain: _ = chain(terms[...])
    case .blocks(let length):
      let sums = stride(from: 0, to: terms.count, by: length).map {
        chain(terms[$0..<min($0 + length, terms.count)])
      }
      _ = chain(sums[...], countsFirst: false)
    case .pairs:
      var level = terms
      while level.count > 1 {
        level = stride(from: 0, to: level.count, by: 2).map { level[$0] + level[$0 + 1] }
        total += level.reduce(0) { $0 + $1 * $1 }
      }
    case .unknown: preconditionFailure("not a way to add")
    }
    return total
  }

  /// Real sums in float32 of every shape stay within their bounds and come near them; operands of 11 bits do not.
  @Test(arguments: [DataDistribution.uniform, .normal, .offset, .sparse], [9, 64, 576, 4608])
  func honestSumsPassAndCoarseOnesDoNot(_ distribution: DataDistribution, _ k: Int) throws {
    let count = 400
    let lambda = ErrorBounds.lambda(judged: count)
    let u = 0x1p-24
    var worst: [String: Double] = [:]
    let seed = UInt64.random(in: 0..<1 << 32)
    for sample in 0..<count {
      func values(_ distribution: DataDistribution, _ operand: TestData.Operand) throws -> [Float] {
        try TestData.tensor(
          [k], elementType: .float32, distribution, seed: seed &+ UInt64(sample), operand: operand
        ).values(as: Float.self)
      }
      let (a, b) = (try values(distribution, .input), try values(.normal, .filter))
      let products = zip(a, b).map { Double($0) * Double($1) }
      let (y, q) = (products.reduce(0, +), products.reduce(0) { $0 + $1 * $1 })
      var (path, partial) = (0.0, 0.0)
      for product in products {
        partial += product
        path += partial * partial
      }
      func take(_ name: String, _ shape: SumShape, _ found: Double) {
        let square = SumRoundings(shape, terms: k).squares(total: y, terms: q, path: path)
        let bound = min(lambda, Double(2 * k).squareRoot()) * u * square.squareRoot()
        if bound > 0 { worst[name] = max(worst[name] ?? 0, abs(found - y) / bound) }
      }
      let rounded = zip(a, b).map { $0 * $1 }
      take("chain", .chain, Double(rounded.reduce(0, +)))
      let fused = zip(a, b).reduce(Float(0)) { $0.addingProduct($1.0, $1.1) }
      take("fused", .chain, Double(fused))
      let blocks = stride(from: 0, to: k, by: 32).map { rounded[$0..<min($0 + 32, k)].reduce(0, +) }
      take("blocks", .blocks(length: 32), Double(blocks.reduce(0, +)))
      let lanes = (0..<8).map { lane in stride(from: lane, to: k, by: 8).reduce(Float(0)) { $0 + rounded[$1] }
      }
      take("lanes", .unknown(depth: k), Double(lanes.reduce(0, +)))
      var level = rounded
      while level.count > 1 {
        level = stride(from: 0, to: level.count, by: 2).map {
          $0 + 1 < level.count ? level[$0] + level[$0 + 1] : level[$0]
        }
      }
      take("pairs", .pairs, Double(level[0]))
      let coarse = zip(a, b).map { Self.rounded($0, bits: 11) * Self.rounded($1, bits: 11) }
      take("tf32", .unknown(depth: k), Double(coarse.reduce(0, +)))
    }
    for (name, ratio) in worst {
      if name == "tf32" {
        #expect(ratio > 5, "\(distribution) \(k), seed \(seed): \(ratio)")
      } else {
        // Lanes are blocks, of which the engine says nothing.
        #expect(
          ratio < 1 && ratio > (name == "lanes" ? 0.01 : 0.05),
          "\(name) \(distribution) \(k), seed \(seed): \(ratio)")
      }
    }
  }

  private static func rounded(_ value: Float, bits: Int) -> Float {
    let scaled = Double(value) * Double(1 << (53 - bits) + 1)
    return Float(scaled - (scaled - Double(value)))
  }

  private func one(_ x: [Double], _ w: [Double], _ elementType: ElementType) throws -> ProblemData {
    let problem = try ConvProblem(parsing: "conv1d:c\(x.count)w1k1s1")
    return try ProblemData(
      problem: problem, input: Tensor(x, shape: [1, x.count, 1]).converted(to: elementType),
      filter: Tensor(w, shape: [1, w.count, 1]).converted(to: elementType),
      outputGradient: Tensor([1.0], shape: [1, 1, 1]).converted(to: elementType))
  }

  @Test func summationBoundsAreWhatTheFormulaSays() throws {
    // One result: 1·2 + 3·4 = 14, Q = 4 + 144, partial sums 2 and 14.
    let data = try one([1, 3], [2, 4], .float32)
    let expectation = Expectation(grid: .all(data.problem, .forward), data: data)
    #expect(expectation.values == [14] && expectation.magnitudes == [14])
    #expect(expectation.squares == [148] && expectation.paths == [200] && expectation.coarse == [14])
    func bounds(_ shape: SumShape, _ accumulator: ElementType) throws -> ErrorBounds {
      try #require(
        ErrorBounds(model: .summation(shape, accumulator: accumulator), expectation: expectation, data: data))
    }
    let u = 0x1p-24
    // Four roundings: λ = √(2·ln 2000) = 3.9 is more than √4.
    let formula = (3.0 / 3 * 196 + 3.0 / 6 * 148).squareRoot()
    let chain = try bounds(.chain, .float32)
    #expect(formula * formula > 200)
    #expect(abs(chain.bounds[0] / (2 * u * (formula * formula + 148 + 196).squareRoot()) - 1) < 1e-6)
    #expect(abs(chain.worst[0] / (4 * u * 14) - 1) < 1e-6)
    #expect(abs(try bounds(.chain, .float64).bounds[0] / (u * 14) - 1) < 1e-6)
    #expect(abs(ErrorBounds.lambda(judged: 4096) - 5.65) < 0.01)
  }

  /// Terms that cancel: float64 sums lose what double-double sums keep.
  @Test func float64HasAnOracleOfItsOwn() throws {
    let data = try one([0x1p60, 1, -0x1p60, 0x1p-30, 1 + 0x1p-40], [1, 1, 1, 1, 1 + 0x1p-40], .float64)
    let expectation = Expectation(grid: .all(data.problem, .forward), data: data)
    #expect(expectation.values[0] == 2 + 0x1p-30 + 0x1p-39)
    #expect(expectation.controls[0] > 0.5)
  }

  /// Σs² is the larger one of two orders: channels outermost and innermost.
  @Test func bothOrdersAreLookedAt() throws {
    let problem = try ConvProblem(parsing: "conv1d:n1c2w2k1s2")
    let data = try ProblemData(
      problem: problem, input: Tensor([Float(1), -1, 1, -1], shape: [1, 2, 2]),
      filter: Tensor([Float(1), 1, 1, 1], shape: [1, 2, 2]), outputGradient: .zeros([1, 1, 1]))
    // Along c, s: 1, 0, 1, 0; along s, c: 1, 2, 1, 0.
    #expect(Expectation(grid: .all(problem, .forward), data: data).paths == [6])
  }

  /// A sum that goes far away and comes back is wider than the formula of exchangeable terms, and says so.
  @Test func sortedTermsCountTheirPath() throws {
    let k = 4096
    let sorted = (0..<k).map { Double($0) / Double(k) - 0.5 + 0.5 / Double(k) }
    let data = try one(sorted, [Double](repeating: 1, count: k), .float32)
    let expectation = Expectation(grid: .all(data.problem, .forward), data: data)
    let sums = SumRoundings(.chain, terms: k)
    let formula =
      sums.ofTotal * expectation.values[0] * expectation.values[0] + sums.ofTerms * expectation.squares[0]
    #expect(expectation.paths[0] > 100 * formula)
    #expect(
      sums.squares(total: expectation.values[0], terms: expectation.squares[0], path: expectation.paths[0])
        >= expectation.paths[0])
  }

  /// A number that is added again and again errs in one direction: an honest chain is far beyond the probabilistic bound.
  @Test(arguments: ConvPass.allCases)
  func constantDataAreCorrelated(_ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c64h28w28k64r3s3p1")
    func bounds(_ distribution: DataDistribution) throws -> ErrorBounds {
      let data = try ProblemData(problem: problem, distribution: distribution, seed: 3)
      let grid = SampleGrid.stratified(problem, pass, atLeast: 64, seed: 3)
      return try #require(
        ErrorBounds(
          model: .summation(.chain, accumulator: .float32), expectation: Expectation(grid: grid, data: data),
          data: data))
    }
    let constant = try bounds(.constant)
    #expect(constant.isCorrelated && zip(constant.bounds, constant.worst).allSatisfy { $0 >= $1 })
    #expect(try !bounds(.uniform).isCorrelated)
    // The same numbers, which nobody drew: they are looked at, and found independent.
    var given = try ProblemData(problem: problem, seed: 3)
    #expect(given.isDrawn)
    given.input = try TestData.tensor(
      problem.inputShape, elementType: .float32, .normal, seed: 4, operand: .input)
    #expect(!given.isDrawn)
    let grid = SampleGrid.stratified(problem, pass, atLeast: 64, seed: 3)
    let expectation = Expectation(grid: grid, data: given)
    #expect(expectation.controls.count == grid.count)
    let found = try #require(
      ErrorBounds(model: .summation(.chain, accumulator: .float32), expectation: expectation, data: given))
    #expect(!found.isCorrelated)
  }

  /// Where everything is zero there is nothing to round, and nothing else is right.
  @Test func aBoundOfZeroDemandsAnErrorOfZero() throws {
    let data = try one([0, 0], [0, 0], .float64)
    let expectation = Expectation(grid: .all(data.problem, .forward), data: data)
    let bounds = try #require(
      ErrorBounds(model: .summation(.chain, accumulator: .float64), expectation: expectation, data: data))
    #expect(bounds.bounds[0] < 1e-300)
    let result = Verification(results: [1e-200], expectation: expectation, bounds: bounds)
    #expect(result.verdict == .failed)
  }

  /// Proxies of transforms compute the values that they belong to, and grow with the engine's own matrices.
  @Test(arguments: [
    "conv2d:n2c3h9w10k4r3s3p1", "conv2d:n1c4h11w9k4r3s3p0,3,2,1l2g2", "conv2d:n1c2h7w7k2r3s3p4",
    "conv3d:n1c2d4h6w7k3t2r3s3p1",
  ])
  func winogradValuesAreTheOracles(text: String) throws {
    let problem = try ConvProblem(parsing: text)
    let data = try ProblemData(problem: problem, seed: 11)
    // A filter gradient of 3×3 taps in one tile, and in four of 2×2 as where it is derived from the forward pass.
    let cases = ConvPass.allCases.map {
      ($0, $0 == .backwardFilter ? VerificationTests.f32 : VerificationTests.f23)
    }
    for (pass, transform) in cases + [(.backwardFilter, VerificationTests.f23)] {
      let grid = SampleGrid.all(problem, pass)
      let expectation = Expectation(grid: grid, data: data)
      let bounds = try #require(
        WinogradBounds(
          vertical: transform, horizontal: transform, depth: 1 << 20, pass: pass, data: data))
      let found = try #require(bounds.evaluate(grid, pool: .shared))
      var (ratios, count) = (0.0, 0.0)
      for i in grid.indices {
        #expect(
          abs(found.values[i] - expectation.values[i]) <= 1e-12 * (expectation.magnitudes[i] + 1),
          "\(text) \(pass) sample \(i)")
        if expectation.squares[i] > 0 {
          ratios += found.squares[i] / expectation.squares[i]
          count += 1
        }
      }
      #expect(ratios / count > 1 && ratios / count < 400, "\(text) \(pass): on average \(ratios / count)")
    }
  }

  /// Each operand's errors reach a product times the other operand: 2²·7 + 5²·3.
  @Test func productsCarryTheErrorsOfBothOperands() {
    var sums = WinogradBounds.ProductSums(area: 1)
    sums.add([2], [3], [5], [7], area: 1)
    #expect(sums.values == [10] && sums.terms == [100] && sums.path == [100])
    #expect(sums.carried == [103])
  }

  /// A constant image and constant filters have all of their energy at frequency zero: transforms round each of them by a share of the
  /// result itself, not of a white spectrum's L-th part.
  @Test func constantTilesKeepTheirMean() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c1h36w36k1r3s3p0")
    var data = try ProblemData(problem: problem, seed: 5)
    data.input = try data.input.mapped { _ in 1 }
    data.filter = try data.filter.mapped { _ in 1 }
    let expectation = Expectation(grid: .all(problem, .forward), data: data)
    let bounds = FourierBounds(height: 12, width: 12, stepH: 10, stepW: 10, depth: 1, data: data)
    let proxies = bounds.squares(expectation, pool: .shared)
    // The image's and the filter's transform, each of log₂ 144 levels at least.
    let least = 2 * FourierBounds.perLevel * log2(144.0) * 81
    for (row, proxy) in zip(expectation.grid.rows, proxies) where row.at.h < 20 && row.at.w < 20 {
      #expect(proxy > least + 81 * FourierBounds.perLevel * log2(144.0), "\(row)")
    }
  }

  /// Energies of tiles are at least what the samples in them say, and scale with the square of an operand.
  @Test(arguments: [
    "conv2d:n2c3h20w21k4r5s5p2", "conv2d:n1c4h17w19k4r3s3u2p1l2g2", "conv3d:n1c2d4h6w7k3t2r3s3p1",
  ])
  func fourierProxiesCoverTheSamples(text: String) throws {
    let problem = try ConvProblem(parsing: text)
    let data = try ProblemData(problem: problem, seed: 11)
    var louder = data
    louder.input = try data.input.mapped { $0 * 4 }
    louder.outputGradient = try data.outputGradient.mapped { $0 * 4 }
    for pass in ConvPass.allCases {
      let grid = SampleGrid.all(problem, pass)
      func proxies(_ data: ProblemData) -> (ConvHarness.Expectation, [Double]) {
        let expectation = Expectation(grid: grid, data: data)
        let bounds = FourierBounds(height: 12, width: 12, stepH: 4, stepW: 4, depth: 9, data: data)
        return (expectation, bounds.squares(expectation, pool: .shared))
      }
      let (expectation, quiet) = proxies(data)
      let (_, loud) = proxies(louder)
      let scale = pass == .backwardFilter ? 256.0 : 16
      for i in grid.indices {
        #expect(quiet[i] >= expectation.values[i] * expectation.values[i], "\(text) \(pass) sample \(i)")
        #expect(abs(loud[i] / quiet[i] / scale - 1) < 1e-6 || quiet[i] == 0, "\(text) \(pass) sample \(i)")
      }
    }
  }
}

extension Tensor {
  /// Every element by itself.
  fileprivate func mapped(_ change: (Float) -> Float) throws -> Tensor {
    try Tensor(values(as: Float.self).map(change), shape: shape)
  }
}
