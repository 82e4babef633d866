import ConvCore
import ConvDirect
import ConvIm2col
import ConvNaive
import Testing

@testable import ConvBackends

@Suite struct AutoBackendTests {
  private static let formats: [MemoryFormat] = [.nchw, .nhwc]

  private func operation(_ pass: ConvPass, _ text: String, _ format: MemoryFormat) throws -> ConvOperation {
    ConvOperation(pass, try ConvProblem(parsing: text), inputFormat: format, outputFormat: format)
  }

  /// The kinds of layers on which one algorithm is ahead by a factor; planes of few channels are a near thing elsewhere.
  /// Not where the baseline is forced upon a CPU that a library uses better.
  @Test(
    .enabled(if: InstructionSet.current != .baseline),
    arguments: [
      ("conv2d:n4c64h56w56k64r3s3p1", "winograd"), ("conv2d:n2c512h28w28k512r3s3p1", "winograd"),
      ("conv2d:n8c96h14w14k96r3s3p1g96", "direct"), ("conv2d:n4c144h56w56k144r3s3u2p1g144", "direct"),
      ("conv2d:n2c3h224w224k64r7s7u2p3", "direct"), ("conv2d:n4c64h56w56k256r1s1", "direct"),
    ])
  func kindsOfLayersHaveTheirEngine(_ text: String, _ engine: String) throws {
    for pass in ConvPass.allCases {
      let plan = try AutoBackend().plan(for: operation(pass, text, .nhwc))
      #expect(plan.executedBy == engine, "\(text) \(pass): \(plan.executedBy)")
    }
  }

  #if FFTW
    @Test(arguments: ["conv2d:n1c32h64w64k32r31s31p15", "conv2d:n1c64h56w56k64r9s9p4"])
    func largeFiltersGoToTheFrequencyDomain(_ text: String) throws {
      for format in AutoBackendTests.formats {
        for pass in ConvPass.allCases {
          let plan = try AutoBackend().plan(for: operation(pass, text, format))
          #expect(plan.executedBy.hasPrefix("fft"), "\(text) \(pass) \(format): \(plan.executedBy)")
        }
      }
    }
  #endif

  /// No candidate's plan is predicted to be faster than the one that was taken, of those that the algorithm suits.
  @Test func theLeastPredictedTimeIsTaken() throws {
    let auto = AutoBackend()
    var generator = PhiloxGenerator(seed: 11)
    for _ in 0..<40 {
      let (c, k) = (Int.random(in: 1...48, using: &generator), Int.random(in: 1...48, using: &generator))
      let (h, r) = (Int.random(in: 8...40, using: &generator), Int.random(in: 1...7, using: &generator))
      let u = Int.random(in: 1...2, using: &generator)
      let text = "conv2d:n2c\(c)h\(h)w\(h)k\(k)r\(r)s\(r)u\(u)p\(r / 2)"
      for pass in ConvPass.allCases {
        let operation = try operation(pass, text, .nhwc)
        let chosen = try auto.plan(for: operation)
        for candidate in auto.candidates where ["direct", "im2col"].contains(candidate.backend.name) {
          guard candidate.backend.support(for: operation).isSupported else { continue }
          let other = try candidate.backend.plan(for: operation)
          #expect(
            chosen.predictedNanoseconds <= other.predictedNanoseconds,
            "\(operation) (seed 11): \(chosen.executedBy) instead of \(other.executedBy)")
        }
      }
    }
  }

  /// Bits do not follow the thread count, so the choice must not either.
  @Test func threadsDoNotChoose() throws {
    for text in ["conv2d:n1c64h14w14k64r3s3p1", "conv2d:n2c24h30w30k16r5s5p2", "conv2d:n1c512h7w7k512r3s3p1"]
    {
      for pass in ConvPass.allCases {
        let operation = try operation(pass, text, .nhwc)
        let plans = try [1, 2, 3, 8].map { try AutoBackend().plan(for: operation, PlanOptions(threads: $0)) }
        #expect(Set(plans.map(\.variant)).count == 1, "\(operation): \(plans.map(\.variant))")
      }
    }
  }

  /// F(4×4, 5×5) is taken where its error bound still means something.
  @Test func largeTilesAreForShortSums() throws {
    let only = AutoBackend(candidates: [
      BackendRegistry.Selection(backend: .winograd, variant: "tile=4x4"),
      BackendRegistry.Selection(backend: .naive),
    ])
    for (text, wanted) in [
      ("conv2d:n1c64h24w24k32r5s5p2", "winograd"), ("conv2d:n1c201h24w24k32r5s5p2", "naive"),
      ("conv2d:n1c64h24w24k32r3s3p1", "naive"),
    ] {
      #expect(try only.plan(for: operation(.forward, text, .nhwc)).executedBy.hasPrefix(wanted), "\(text)")
    }
  }

  @Test func declinesWithAReason() throws {
    let operation = try operation(.forward, "conv2d:n1c2h6w6k2r3s3", .nchw)
    let variant = AutoBackend().support(for: operation, PlanOptions(variant: "tile=2x2"))
    #expect(variant.reason?.contains("'tile=2x2'") == true, "\(variant)")
    let none = AutoBackend(candidates: [
      BackendRegistry.Selection(backend: .im2col, variant: "gemm=none")
    ])
    let reason = none.support(for: operation).reason
    #expect(reason?.contains("im2col[gemm=none]: ") == true && reason?.contains("gemm=kernel") == true)
    #expect(throws: ConvError.self) { try none.plan(for: operation) }
    #expect(AutoBackend(candidates: []).support(for: operation).reason?.contains("no candidates") == true)
  }

  /// Predictions grow with the work, and lowerings count their inner plans as often as they run.
  @Test func predictionsFollowTheWork() throws {
    let direct: any ConvolutionBackend = .direct
    let small = try direct.plan(for: operation(.forward, "conv2d:n1c16h20w20k16r3s3p1", .nhwc))
    let large = try direct.plan(for: operation(.forward, "conv2d:n8c16h20w20k16r3s3p1", .nhwc))
    let ratio = large.predictedNanoseconds / small.predictedNanoseconds
    #expect(ratio > 6 && ratio < 8.5, "\(ratio)")
    let naive: any ConvolutionBackend = .naive
    let one = try naive.plan(for: operation(.forward, "conv2d:n1c3h9w9k4r3s3", .nchw))
    #expect(one.work[.modelled] == one.operation.problem.directFLOPs)
    let amounts = 2 * (ConvWork([.moved: 3, .calls: 1]) + ConvWork([.moved: 2]))
    #expect(amounts == ConvWork([.moved: 10, .calls: 2]) && amounts.description == "moved=1.0e1 calls=2.0e0")
    let half = CostModel.nanoseconds(amounts, elementType: .float64, instructionSet: .avx512)
    #expect(
      half == CostModel.nanoseconds(amounts, instructionSet: .baseline), "memory costs the same everywhere")
    let products = ConvWork([.products: 1e6])
    let times = [InstructionSet.avx512, .avx2, .baseline].map {
      CostModel.nanoseconds(products, instructionSet: $0)
    }
    #expect(times[0] < times[1] && times[1] < times[2])
  }
}
