import ConvCore
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Sums over whole results see what a sample misses.
@Suite struct ProjectionTests {
  /// Both sides of the identities, from the oracle's value of every result; squares are those of all terms of all results.
  @Test(arguments: ConvPass.allCases, [1, 2, 3, 8])
  func sumsAreThoseOfTheOracle(_ pass: ConvPass, _ width: Int) throws {
    let base = UInt64.random(in: 0..<1 << 32)
    for seed in base..<base + 12 {
      let problem = RandomProblems(largestFLOPs: 3e5).problem(seed: seed)
      let data = try ProblemData(problem: problem, distribution: .normal, seed: seed)
      let projection = try Projection(problem, pass, width: width, seed: seed)
      let sums = try ProjectedSums(projection, data: data)
      let grid = SampleGrid.all(problem, pass)
      let all = Expectation(grid: grid, data: data)
      var (values, magnitudes, terms) = ([Int: Double](), [Int: Double](), [Int: Double]())
      for (i, row) in grid.rows.enumerated() {
        for (j, column) in grid.columns.enumerated() {
          let index = grid.index(row, column)
          values[index] = all.values[i * grid.columns.count + j]
          magnitudes[index] = all.magnitudes[i * grid.columns.count + j]
          terms[index] = all.squares[i * grid.columns.count + j]
        }
      }
      var seen = Set<Int>()
      for line in 0..<projection.lines {
        sums.withLine(line) { found, squares in
          for sum in 0..<projection.sums {
            for w in 0..<projection.extent.w {
              let members = projection.members(sum)
              var (expected, total) = (0.0, 0.0)
              for channel in members {
                let index = projection.index(line, channel) + w
                seen.insert(index)
                expected += terms[index]!
                total += magnitudes[index]!
              }
              let square = squares[sum * projection.extent.w + w]
              #expect(
                square >= expected * (1 - 1e-12) && square <= expected * (1 + 1e-6),
                "\(problem) \(pass), seed \(seed): \(square) where \(expected) is expected, line \(line)")
              for turn in 0..<projection.repeats {
                let signs = projection.signVector(line, turn) * projection.channels
                let value = members.reduce(0) {
                  $0 + projection.signs[signs + $1] * values[projection.index(line, $1) + w]!
                }
                let own = found[(turn * projection.sums + sum) * projection.extent.w + w]
                #expect(abs(own - value) <= 1e-13 * total, "\(problem) \(pass), seed \(seed), line \(line)")
              }
            }
          }
        }
      }
      #expect(seen.count == values.count, "\(problem) \(pass), seed \(seed): every result is in a sum")
    }
  }

  /// Any two channels of a sum have equal signs in one class of the first ones, and different ones in another.
  @Test(arguments: [2, 3, 8, 64, 100])
  func anyTwoChannelsAreToldApart(_ width: Int) throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c4h40w40k200r1s1g2")
    let projection = try Projection(problem, .forward, width: width, seed: 3)
    #expect(projection.classes >= 9 && projection.classes % 2 == 1)
    let bits = Int(log2(Double(width)).rounded(.up))
    for sum in 0..<projection.sums {
      let members = projection.members(sum)
      for a in members {
        for b in members where b > a {
          let products = (0...bits).map {
            projection.signs[$0 * 200 + a] * projection.signs[$0 * 200 + b]
          }
          #expect(products.contains(1) && products.contains(-1), "\(a), \(b)")
        }
      }
    }
    for vector in 0..<projection.classes {
      let sum = projection.signs[vector * 200..<(vector + 1) * 200].reduce(0, +)
      #expect(abs(sum) < 90, "vector \(vector) is not balanced: \(sum)")
    }
  }

  /// Large problems; in none is every result looked at by itself.
  static let large: [(text: String, pass: ConvPass)] = [
    ("conv2d:n2c16h56w56k64r3s3p1", .forward), ("conv2d:n2c64h56w56k16r3s3p1", .backwardData),
    ("conv2d:n4c48h28w28k64r3s3p1", .backwardFilter), ("conv2d:n1c64h28w28k256r3s3u2p1", .forward),
  ]

  private func verification(
    _ problem: ConvProblem, _ pass: ConvPass, _ expectation: ConvHarness.Expectation, _ data: ProblemData,
    _ spoil: @escaping FakeBackend.PluginSpoil
  ) -> Verification {
    Verifier().verify(
      FakeBackend.plugin(spoil), ConvOperation(pass, problem), PlanOptions(), data: data,
      expectation: expectation)
  }

  /// A lost channel, a lost tile of one channel and of all, and two channels that are swapped: always seen, wherever they are. The
  /// sample alone sees few of them.
  @Test(arguments: large)
  func defectsAreSeenForCertain(_ text: String, _ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: text)
    let seed = UInt64.random(in: 0..<1 << 32)
    let data = try ProblemData(problem: problem, seed: seed)
    let grid = SampleGrid.stratified(problem, pass, seed: seed)
    let expectation = Expectation(grid: grid, data: data)
    let projection = try Projection(problem, pass, width: 32, seed: seed)
    #expect(projection.width > 1)
    let plan = try NaiveBackend().plan(for: ConvOperation(pass, problem), PlanOptions())
    let right = try Verifier().execute(plan, data)
    let bounds = try #require(ErrorBounds(model: plan.errorModel, expectation: expectation, data: data))
    let check = ProjectionCheck(
      expected: try ProjectedSums(projection, data: data), model: plan.errorModel, expectation: expectation,
      bounds: bounds, data: data, pool: .shared)
    func sampled(_ result: Tensor) -> Verdict {
      Verification(
        results: Verifier.values(of: result, at: grid), expectation: expectation, bounds: bounds
      ).verdict
    }
    let honest = try #require(check.finding(right))
    #expect(honest.ratio < 1 && honest.width == 32, "\(honest.place)")
    let coverage = SampleCoverage(grid, honest.sight)
    #expect(coverage.tile == 0 && coverage.channel == 0, "\(coverage), seed \(seed)")
    #expect(SampleCoverage(grid).channel > 0)

    let shape = problem.resultShape(pass)
    let plane = shape[2] * shape[3]
    let axis = pass == .backwardFilter ? 0 : 1
    var random = PhiloxGenerator(seed: seed, stream: 9)
    var missed = 0
    for round in 0..<6 {
      let (a, b) = (Int.random(in: 0..<shape[axis] - 1, using: &random), shape[axis] - 1)
      let outer = Int.random(in: 0..<shape[1 - axis], using: &random)
      let top = Int.random(in: 0...max(0, shape[2] - 4), using: &random)
      let left = Int.random(in: 0...max(0, shape[3] - 4), using: &random)
      func start(_ outer: Int, _ channel: Int) -> Int {
        (axis == 0 ? channel * shape[1] + outer : outer * shape[1] + channel) * plane
      }
      func loseTile(_ y: UnsafeMutablePointer<Float>, _ channel: Int) {
        for h in top..<min(top + 4, shape[2]) {
          for w in left..<min(left + 4, shape[3]) { y[start(outer, channel) + h * shape[3] + w] = 0 }
        }
      }
      let defects: [(name: String, spoil: (UnsafeMutablePointer<Float>) -> Void)] = [
        (
          "lost channel",
          { y in
            for o in 0..<shape[1 - axis] { for i in 0..<plane { y[start(o, a) + i] = 0 } }
          }
        ),
        ("lost tile of a channel", { y in loseTile(y, a) }),
        ("lost tile of all channels", { y in for channel in 0..<shape[axis] { loseTile(y, channel) } }),
        (
          "swapped channels",
          { y in
            for o in 0..<shape[1 - axis] {
              for i in 0..<plane {
                (y[start(o, a) + i], y[start(o, b) + i]) = (y[start(o, b) + i], y[start(o, a) + i])
              }
            }
          }
        ),
      ]
      for (name, spoil) in defects {
        var wrong = right
        wrong.withUnsafeMutablePointer(as: Float.self) { spoil($0) }
        let found = try #require(check.finding(wrong))
        #expect(found.ratio > 1, "\(name) \(a), \(outer), \(top), \(left), round \(round), seed \(seed)")
        if sampled(wrong) == .passed { missed += 1 }
      }
    }
    #expect(missed > 0, "the sample saw everything by itself, seed \(seed)")
  }

  /// A channel that is zero anyway would not be missed: the probability says so.
  @Test func onlyWhatWouldShowCounts() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c16h28w28k64r3s3p1")
    var data = try ProblemData(problem: problem, seed: 6)
    let grid = SampleGrid.stratified(problem, .forward, atLeast: 64, seed: 6)
    let zero = try #require((0..<64).first { !grid.columns.contains($0) })
    data.filter.withUnsafeMutablePointer(as: Float.self) { w in
      for i in 0..<144 { w[zero * 144 + i] = 0 }
    }
    let plan = try NaiveBackend().plan(for: ConvOperation(.forward, problem), PlanOptions())
    let expectation = Expectation(grid: grid, data: data)
    let bounds = try #require(ErrorBounds(model: plan.errorModel, expectation: expectation, data: data))
    let check = ProjectionCheck(
      expected: try ProjectedSums(Projection(problem, .forward, width: 32, seed: 6), data: data),
      model: plan.errorModel, expectation: expectation, bounds: bounds, data: data, pool: .shared)
    let found = try #require(check.finding(Verifier().execute(plan, data)))
    #expect(found.ratio <= 1 && SampleCoverage(grid, found.sight).channel == 1.0 / 64, "\(found.place)")
  }

  /// What only the sums see says so, and is shrunk as any failure.
  @Test func failuresOfSumsAreShrunk() throws {
    let lost = FakeBackend.plugin { operation, y, _ in
      let problem = operation.problem
      let images = operation.pass == .forward && problem.k > 40 ? problem.n : 0
      for n in 0..<images {
        for i in 0..<problem.output.count { y[(n * problem.k + 37) * problem.output.count + i] = 0 }
      }
    }
    let problem = try ConvProblem(parsing: "conv2d:n4c64h56w56k64r1s1")
    let seed = try #require(
      (1...4).first { !SampleGrid.stratified(problem, .forward, seed: $0).columns.contains(37) })
    let failure = FailureCase(
      competitor: Competitor(lost), operation: ConvOperation(.forward, problem), seed: seed)
    let verification = try failure.verify(pool: .shared)
    #expect(
      verification.reason.contains("the sum with random signs") && verification.reason.contains("of forward")
        && verification.reason.contains("the sample of"), "\(verification.reason)")
    let minimal = try #require(try failure.minimal(seconds: 60, pool: .shared))
    #expect(minimal.failure.operation.problem.description == "conv2d:n1c1h1w1k41r1s1", "\(minimal)")
  }

  /// One result that the sample leaves out is a little wrong: the sums alone decide.
  @Test func aLittleWrongFails() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c16h28w28k64r3s3p1")
    let data = try ProblemData(problem: problem, seed: 8)
    let grid = SampleGrid.stratified(problem, .forward, atLeast: 64, seed: 8)
    let unseen = try #require((0..<64).first { !grid.columns.contains($0) })
    let projected = try ProjectedSums(Projection(problem, .forward, width: 32, seed: 8), data: data)
    for (factor, expected) in [(Float(1), Verdict.passed), (1.01, .failed)] {
      var expectation = Expectation(grid: grid, data: data)
      expectation.projected = projected
      let found = verification(problem, .forward, expectation, data) { _, y, _ in
        let plane = unseen * problem.output.count
        let largest = (plane..<(plane + problem.output.count)).max { abs(y[$0]) < abs(y[$1]) }!
        y[largest] *= factor
      }
      #expect(found.verdict == expected && found.projectionRatio < 1e5, "\(found)")
    }
  }

  /// Where float64 sums are cheap every result is compared by itself, and nothing goes unseen.
  @Test func smallProblemsAreComparedWhole() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c48h30w30k48r3s3p1g48")
    for pass in ConvPass.allCases {
      let data = try ProblemData(problem: problem, seed: 2)
      let expectation = try Expectation(of: pass, data: data, seed: 2)
      let projected = try #require(expectation.projected)
      #expect(projected.projection.isWhole)
      let good = verification(problem, pass, expectation, data) { _, _, _ in }
      #expect(good.verdict == .passed && good.coverage?.channel == 0 && good.coverage?.scattered == 0)
      let bad = verification(problem, pass, expectation, data) { _, y, _ in y[y.count / 3] *= 1.001 }
      #expect(bad.verdict == .failed && bad.reason.hasPrefix("result "), "\(bad)")
    }
  }

  /// Sums do not pass through a maximum: behind a ReLU only the sample counts, and no figure says otherwise.
  @Test func epiloguesThatAreNotLinearAreSampledOnly() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c8h40w40k16r3s3p1")
    let data = try ProblemData(problem: problem, seed: 4)
    let expectation = try Expectation(of: .forward, data: data, seed: 4)
    for (relu, isSummed) in [(false, true), (true, false)] {
      let result = Verifier().verify(
        NaiveBackend(), ConvOperation(.forward, problem, epilogue: Epilogue(bias: true, relu: relu)),
        PlanOptions(), data: data, expectation: expectation)
      #expect(result.projectionRatio.isNaN == !isSummed, "\(result)")
    }
  }

  @Test func widthFollowsTheCost() throws {
    func projection(_ text: String, _ pass: ConvPass) throws -> Projection {
      try Projection(ConvProblem(parsing: text), pass, seed: 1)
    }
    #expect(try projection("conv2d:n1c16h28w28k32r3s3p1", .forward).width == 1)
    // 3.7 GFLOP: 64 channels at a time are 58 MFLOP.
    #expect(try projection("conv2d:n1c64h224w224k64r3s3p1", .forward).width == 64)
    // One channel per group.
    #expect(try projection("conv2d:n32c96h112w112k96r3s3p1g96", .forward).isWhole)
    // One place: each sign vector would add up the whole filter.
    #expect(try projection("conv2d:n1c4096h1w1k4096r1s1", .forward).isWhole)
  }
}
