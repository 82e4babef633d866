import ConvCore
import ConvDirect
import ConvNaive
import ConvTestSupport
import Synchronization
import Testing

@testable import ConvBackends

/// `auto` chooses by its profile and by nothing else, and makes no plan of what it does not take.
@Suite struct ChoiceTests {
  private static let formats: [MemoryFormat] = [.nchw, .nhwc]

  private func operation(_ pass: ConvPass, _ text: String, _ format: MemoryFormat) throws -> ConvOperation {
    ConvOperation(pass, try ConvProblem(parsing: text), inputFormat: format, outputFormat: format)
  }

  /// Profiles of machines on which one way costs nothing, and who then does a dense layer.
  private static let oneWay: [(profile: MachineProfile, engine: String)] = {
    var all = [(profile: TestProfile.free(.implicitProducts), engine: "direct")]
    all.append((TestProfile.free(.products, .transforms), "winograd"))
    #if OpenBLAS
      all.append((TestProfile.free(.libraryProducts), "im2col"))
    #endif
    #if FFTW
      all.append((TestProfile.free(.fourier, .spectralProducts), "fft"))
    #endif
    return all
  }()

  @Test(arguments: Self.formats)
  func whatCostsNothingIsTaken(_ format: MemoryFormat) throws {
    for (profile, engine) in Self.oneWay {
      let auto = AutoBackend(profile: profile)
      for text in ["conv2d:n2c48h30w30k64r3s3p1", "conv2d:n1c96h14w15k80r5s5p2"] {
        for pass in ConvPass.allCases {
          let plan = try auto.plan(for: operation(pass, text, format))
          #expect(plan.executedBy.hasPrefix(engine), "\(text) \(pass): \(plan.executedBy), not \(engine)")
        }
      }
      // Nobody is forced upon what it is left out of.
      if engine == "winograd" {
        let plan = try auto.plan(for: operation(.forward, "conv2d:n1c64h14w14k64r1s1", format))
        #expect(!plan.executedBy.hasPrefix("winograd"), "\(plan.executedBy)")
      }
    }
  }

  /// Random problems of all kinds, with the profiles of many machines: the cheapest by the prices, the first of equals.
  @Test func theLeastPredictedTimeIsTaken() throws {
    var taken: Set<String> = []
    for seed in 0..<UInt64(120) {
      var random = PhiloxGenerator(seed: seed, stream: 5)
      let auto = AutoBackend(profile: seed % 4 == 0 ? TestProfile.zen5 : TestProfile.random(seed))
      let operation = try randomOperation(&random)
      let options = PlanOptions(
        threads: 1, filterState: FilterState.allCases.randomElement(using: &random)!)
      var best: (candidate: AutoBackend.Candidate, time: Double)?
      for candidate in auto.candidates where auto.considers(candidate, operation) {
        var own = options
        own.variant = candidate.variant
        guard candidate.backend.support(for: operation, own).isSupported else { continue }
        let time = auto.profile.prices.nanoseconds(
          try candidate.backend.work(for: operation, own), elementType: operation.elementType)
        if time < best?.time ?? .infinity { best = (candidate, time) }
      }
      let text: Comment = "\(operation), seed \(seed)"
      let expected = try #require(best, text)
      var own = options
      own.variant = expected.candidate.variant
      let plan = try expected.candidate.backend.plan(for: operation, own)
      let chosen = try auto.plan(for: operation, options)
      #expect((chosen.executedBy, chosen.variant) == (plan.executedBy, plan.variant), text)
      taken.insert(expected.candidate.description)
    }
    #expect(taken.count >= 4, "\(taken)")
  }

  private func randomOperation(_ random: inout PhiloxGenerator) throws -> ConvOperation {
    let groups = [1, 1, 1, 2, 24].randomElement(using: &random)!
    let (c, k) = (
      groups * Int.random(in: 1...(groups > 1 ? 2 : 64), using: &random),
      groups * Int.random(in: 1...(groups > 1 ? 2 : 64), using: &random)
    )
    let (h, r) = (
      Int.random(in: 8...40, using: &random), [1, 3, 3, 5, 5, 7, 11].randomElement(using: &random)!
    )
    let u = [1, 1, 2].randomElement(using: &random)!
    let n = Int.random(in: 1...2, using: &random)
    let text = "conv2d:n\(n)c\(c)h\(h)w\(h)k\(k)r\(r)s\(r)u\(u)p\(r / 2)" + (groups > 1 ? "g\(groups)" : "")
    var operation = try operation(
      ConvPass.allCases.randomElement(using: &random)!, text,
      Self.formats.randomElement(using: &random)!)
    if Int.random(in: 0..<4, using: &random) == 0 { operation.elementType = .float64 }
    return operation
  }

  /// What is said of the candidates is what decides.
  @Test func considerationsSayWhatDecides() throws {
    let auto = AutoBackend(profile: TestProfile.zen5)
    let options = PlanOptions(threads: 1)
    for (text, leftOut, declined) in [
      ("conv2d:n1c64h24w24k32r3s3p1", ["winograd[tile=4x4]", "winograd[tile=6x6]"], [String]()),
      ("conv2d:n1c201h24w24k32r5s5p2", ["winograd[tile=4x4]"], []),
      ("conv2d:n1c64h24w24k32r5s5p2", [], []),
      ("conv2d:n1c64h24w24k32r1s1", ["winograd", "winograd[tile=4x4]"], []),
      ("conv2d:n1c8h24w24k8r9s9p4", ["winograd[tile=4x4]"], ["winograd"]),
    ] {
      let operation = try operation(.forward, text, .nhwc)
      let all = auto.considerations(operation, options)
      // F(6×6, 3×3) is no candidate: that it is left out is said where it would be one.
      let others = text.contains("r3s3") ? ["winograd[tile=6x6]"] : []
      #expect(all.map(\.candidate.description) == auto.candidates.map(\.description) + others)
      var found: (leftOut: [String], declined: [String], times: [Double]) = ([], [], [])
      for (candidate, consideration) in all {
        switch consideration {
        case .leftOut(let reason):
          #expect(!reason.isEmpty && !auto.considers(candidate, operation))
          found.leftOut.append(candidate.description)
        case .declined(let reason):
          #expect(reason.contains("9×9"), "\(reason)")
          found.declined.append(candidate.description)
        case .predicted(let nanoseconds): found.times.append(nanoseconds)
        }
      }
      #expect(found.leftOut == leftOut && found.declined == declined, "\(text): \(found)")
      let chosen = try auto.plan(for: operation, options)
      let time = auto.profile.prices.nanoseconds(chosen.work)
      #expect(found.times.min() == time, "\(text): \(found.times), \(time)")
    }
  }

  /// Equal prices, equal plans: names, machines and days do not choose.
  @Test func equalProfilesChooseAlike() throws {
    let other = MachineProfile(
      name: "other", machine: TestProfile.zen5Machine, prices: TestProfile.random(4).prices, origin: .builtIn)
    #expect(other.hash == TestProfile.random(4).hash)
    let (first, second) = (AutoBackend(profile: other), AutoBackend(profile: TestProfile.random(4)))
    for seed in 0..<UInt64(20) {
      var random = PhiloxGenerator(seed: seed, stream: 6)
      let operation = try randomOperation(&random)
      let plans = try [first, second, first].map { try $0.plan(for: operation) }
      #expect(Set(plans.map { "\($0.executedBy) \($0.variant)" }).count == 1, "\(operation), seed \(seed)")
    }
  }

  // MARK: Engines from outside

  /// Groups, strides and batches that an engine lowers, and what it does by itself.
  @Test(arguments: [
    "conv2d:n2c4h8w8k4r3s3p1", "conv2d:n2c4h8w8k4r3s3p1g2", "conv2d:n2c4h9w9k4r3s3u2p1",
    "conv1d:n2c4w9k4s3", "conv3d:n1c2d5h6w6k2t3r3s3",
  ])
  func onlyTheWinnerMakesAPlan(_ text: String) throws {
    for pass in ConvPass.allCases {
      for format in Self.formats {
        let (cheap, dear, alone) = (
          CountingEngine("cheap", 1), CountingEngine("dear", 3), CountingEngine("alone", 1)
        )
        let auto = AutoBackend(
          candidates: [dear, cheap].map { BackendRegistry.Selection(backend: $0.backend) },
          profile: TestProfile.profile(WorkPrices([.modelled: 1])))
        let operation = try operation(pass, text, format)
        _ = try alone.backend.plan(for: operation)
        #expect(alone.calls.plans >= 1)
        _ = auto.considerations(operation, PlanOptions())
        #expect(cheap.calls.plans == 0 && dear.calls.plans == 0, "\(operation)")
        let plan = try auto.plan(for: operation)
        #expect(plan.executedBy.hasPrefix("cheap"), "\(plan.executedBy)")
        #expect(cheap.calls.plans == alone.calls.plans, "\(operation): \(cheap.calls)")
        #expect(dear.calls.plans == 0 && dear.calls.works > 0, "\(operation): \(dear.calls)")
      }
    }
  }

  /// What follows a convolution does not choose, so that a fused one has the bits of separate passes.
  @Test func theBareConvolutionDecides() throws {
    let (plain, fuser) = (CountingEngine("plain", 2), CountingEngine("fuser", 3, fused: 1))
    let auto = AutoBackend(
      candidates: [fuser, plain].map { BackendRegistry.Selection(backend: $0.backend) },
      profile: TestProfile.profile(WorkPrices([.modelled: 1])))
    var operation = try operation(.forward, "conv2d:n1c2h6w6k2r3s3", .nchw)
    #expect(try auto.plan(for: operation).executedBy == "plain")
    operation.epilogue.accumulate = true
    #expect(try auto.plan(for: operation).executedBy == "plain")
    // The fused work is what it would be.
    #expect(try fuser.backend.work(for: operation)[.modelled] < plain.backend.work(for: operation)[.modelled])
    operation.epilogue = Epilogue(bias: true, relu: true)
    #expect(try auto.plan(for: operation).executedBy.hasPrefix("plain"))
  }

  /// Of equals the first.
  @Test func theFirstOfEqualsIsTaken() throws {
    let engines = ["one", "two"].map { CountingEngine($0, 2) }
    for order in [engines, engines.reversed()] {
      let auto = AutoBackend(
        candidates: order.map { BackendRegistry.Selection(backend: $0.backend) },
        profile: TestProfile.profile(WorkPrices([.modelled: 1])))
      let plan = try auto.plan(for: operation(.forward, "conv2d:n1c2h6w6k2r3s3", .nchw))
      #expect(plan.executedBy == order[0].backend.name)
    }
  }
}

/// The oracle's plans for dense operations of one group, with work of its own and a count of what it is asked for.
private struct CountingEngine {
  let backend: FakeBackend
  private let plans = Counter(), works = Counter()
  var calls: (plans: Int, works: Int) { (plans.value, works.value) }

  /// - Parameters:
  ///   - price: of a FLOP.
  ///   - fused: the same with something that follows.
  init(_ name: String, _ price: Double, fused: Double? = nil) {
    let (plans, works) = (plans, works)
    var backend = FakeBackend(name, AbleOracle()) {
      let problem = $0.problem
      let isDense = problem.groups == 1 && problem.stride == Extent(w: 1) && problem.spatialRank == 2
      return isDense && $0.isCanonicalFormat ? nil : "dense operations"
    } changing: { _ in
      plans.add()
    }
    backend.works = {
      works.add()
      return ConvWork([
        .modelled: ($0.epilogue.isEmpty ? price : fused ?? price) * $0.problem.directFLOPs
      ])
    }
    self.backend = backend
  }
}
