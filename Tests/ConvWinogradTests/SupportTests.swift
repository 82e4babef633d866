import ConvCore
import Testing

@testable import ConvWinograd

@Suite struct WinogradSupportTests {
  private let winograd = WinogradBackend()

  private func operation(_ text: String, _ pass: ConvPass = .forward) throws -> ConvOperation {
    ConvOperation(pass, try ConvProblem(parsing: text))
  }

  @Test("what the plans do not do is declined with the numbers")
  func declined() throws {
    for (text, word) in [
      ("conv2d:n1c4h9w9k4r3s3u2x2", "2×2"), ("conv2d:n1c4h9w9k4r3s3l2x2", "dilation 2×2"),
      ("conv2d:n1c4h9w9k4r7s7", "7×7"), ("conv2d:n1c4h9w9k4r3s3g2", "not 2"),
    ] {
      let reason = winograd.nativeSupport(for: try operation(text), PlanOptions()).reason
      #expect(reason?.contains(word) == true, "\(text): \(reason ?? "supported")")
    }
  }

  @Test("variant texts: read, written, refused with the known ones")
  func variants() throws {
    let op = try operation("conv2d:n1c4h9w9k4r3s3p1")
    for (asked, written) in [
      (nil, "winograd[tile=4x4,points=5/8:3/2]"), ("tile=2x2", "winograd[tile=2x2,points=1]"),
      ("winograd[tile=4x4,points=1:2]", "winograd[tile=4x4,points=1:2]"),
      ("tile=6x6", "winograd[tile=6x6,points=1:2:1/2]"),
      ("winograd[tile=4x2,points=5/8:3/2x1]", "winograd[tile=4x2,points=5/8:3/2x1]"),
    ] as [(String?, String)] {
      let plan = try winograd.plan(for: op, PlanOptions(variant: asked))
      #expect(plan.variant == written)
      // What a plan says of itself can be asked for.
      #expect(try winograd.plan(for: op, PlanOptions(variant: plan.variant)).variant == written)
    }
    for bad in [
      "tile=9x9", "tile=4", "tile=0x2", "tile=x", "fast", "", "points=1", "points=1:1", "points=0:1",
      "points=1/0:2",
      "points=99999999999999999999999999999999999999999:1", "tile=4x4,points=1:2x1:2x1:2",
      "tile=6x6,points=1:2",
      "winograd[", "winograd[]", "tile=4x4,,",
    ] {
      let support = winograd.nativeSupport(for: op, PlanOptions(variant: bad))
      #expect(!support.isSupported, "'\(bad)' was accepted")
    }
    let reason = winograd.nativeSupport(for: op, PlanOptions(variant: "fast")).reason ?? ""
    #expect(reason.contains("fast") && reason.contains("tile=2x2"), "\(reason)")
  }

  @Test("maxError chooses the tile, or declines")
  func maxError() throws {
    let op = try operation("conv2d:n1c64h16w16k64r3s3p1")
    #expect(try winograd.plan(for: op, PlanOptions(maxError: 1e-3)).variant.contains("tile=4x4"))
    #expect(try winograd.plan(for: op, PlanOptions(maxError: 3e-6)).variant.contains("tile=2x2"))
    #expect(!winograd.support(for: op, PlanOptions(maxError: 1e-9)).isSupported)
  }

  @Test("a prepared filter of another plan is refused")
  func staleFilters() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c4h9w9k4r3s3p1")
    let op = ConvOperation(.forward, problem)
    let a = try winograd.plan(for: op, PlanOptions(filterState: .prepared, variant: "tile=2x2"))
    let b = try winograd.plan(for: op, PlanOptions(filterState: .prepared, variant: "tile=4x4"))
    let x = try Tensor.zeros(problem.inputShape)
    let w = try Tensor.full(problem.filterShape, Float(1))
    let prepared = try a.prepare(filter: w)
    #expect(throws: ConvError.self) { try b.forward(input: x, filter: w, prepared: prepared) }
    #expect(throws: ConvError.self) { try b.forward(input: x, filter: w) }
    _ = try a.forward(input: x, filter: w, prepared: prepared)
    let gradient = try winograd.plan(for: ConvOperation(.backwardFilter, problem))
    #expect(throws: ConvError.self) { try gradient.prepare(filter: w) }
  }

  @Test("the error model holds the exact matrices, executed FLOPs are fewer than direct ones")
  func model() throws {
    let op = try operation("conv2d:n1c64h16w16k64r3s3p1")
    for pass in ConvPass.allCases {
      let plan = try winograd.plan(for: ConvOperation(pass, op.problem))
      guard case .winograd(let vertical, let horizontal, let depth) = plan.errorModel else {
        Issue.record("\(plan.errorModel)")
        continue
      }
      #expect(vertical == horizontal)
      #expect((vertical.m, vertical.r) == (pass == .backwardFilter ? (3, 4) : (4, 3)))
      #expect(depth == (pass == .backwardFilter ? 16 : 64))
      #expect(plan.executedFLOPs > op.problem.directFLOPs / 4)
      #expect(plan.executedFLOPs < op.problem.directFLOPs)
    }
  }
}
