import ConvBackends
import ConvCore
import ConvHarness
import Testing

/// What an engine gives as its reason is what has to be changed: where it is the limit of the workspace, the number that it names is
/// enough; where it is something else, no limit would help.
@Suite struct DeclineReasonTests {
  static let limits = [0, 1000, 40_000, 1 << 20, 64 << 20]

  /// Problems of all kinds, some far larger than any limit.
  private static let problems = [
    "conv2d:n1c128h256w256k128r32s32", "conv2d:n1c64h56w56k64r3s3p1", "conv2d:n8c32h30w31k48r3s3u2p1",
    "conv2d:n2c24h20w20k24g24r3s3p1", "conv2d:n2c32h28w28k64g4r3s3p1", "conv2d:n1c16h40w40k16r3s3p2l2",
    "conv2d:n2c8h17w19k12r5s5p2", "conv1d:n4c16w200k24s9p4", "conv3d:n1c8d10h12w12k8t3r3s3p1",
    "conv2d:n1c3h224w224k64r7s7u2p3", "conv2d:n4c64h14w14k128r1s1", "conv2d:n1c4h300w300k4r200s200",
  ]

  /// Formats of input and output, and of the filter.
  private static let formats: [(MemoryFormat, MemoryFormat, MemoryFormat)] = [
    (.nchw, .nchw, .nchw), (.nhwc, .nhwc, .nhwc), (.nhwc, .nchw, .nchw), (.nchw, .nhwc, .nhwc),
    (.nhwc, .nhwc, .nchw),
  ]

  private static func operations() throws -> [ConvOperation] {
    try problems.enumerated().flatMap { index, text in
      let problem = try ConvProblem(parsing: text)
      return ConvPass.allCases.flatMap { pass in
        formats.enumerated().map { place, format in
          var operation = ConvOperation(pass, problem)
          (operation.inputFormat, operation.outputFormat, operation.filterFormat) = format
          if (index + place) % 4 == 3 { operation.elementType = .float64 }
          switch ((index + place) % 5, pass) {
          case (1, .forward): operation.epilogue = Epilogue(bias: true, relu: true)
          case (2, _): operation.epilogue = Epilogue(accumulate: true)
          case (3, .forward) where problem.spatialRank == 2: operation.epilogue = Epilogue(maxPool2x2: true)
          case (4, .backwardFilter): operation.epilogue = Epilogue(biasGradient: true)
          default: break
          }
          return operation
        }
      }
    }
  }

  @Test(arguments: WorkTests.engines + [BackendRegistry.Selection(backend: .auto)])
  func reasonsAreTheCause(_ engine: BackendRegistry.Selection) throws {
    let form = #/^(?:.*: )?the workspace limit of (\d+) bytes is too small; (\d+) bytes are enough$/#
    var limited = 0
    for (index, operation) in try Self.operations().enumerated() {
      for (place, limit) in Self.limits.enumerated() {
        var options = PlanOptions(
          threads: 1 + (index + place) % 3, workspaceLimit: limit,
          filterState: (index + place) % 2 == 0 ? .fresh : .prepared, variant: engine.variant)
        guard let reason = engine.backend.support(for: operation, options).reason else { continue }
        let text: Comment = "\(engine) \(operation) within \(limit): \(reason)"
        options.workspaceLimit = 1 << 60
        let unlimited = engine.backend.support(for: operation, options)
        guard reason.contains("workspace") else {
          #expect(unlimited.reason == reason, text)
          continue
        }
        limited += 1
        let match = try #require(try form.wholeMatch(in: reason), text)
        let needed = try #require(Int(match.2), text)
        #expect(Int(match.1) == limit && needed > limit && unlimited.isSupported, text)
        options.workspaceLimit = needed
        #expect(engine.backend.support(for: operation, options).isSupported, text)
        _ = try engine.backend.work(for: operation, options)
      }
    }
    // Every engine but the oracle needs memory for something.
    #expect(limited > 0 || engine.backend.name == "naive" || engine.backend.choosesEngines, "\(engine)")
  }

  /// Two layouts are no obstacle for an engine that reorders them, where it may have the memory for that.
  @Test func theWorkspaceIsTheCauseNotTheMixture() throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c128h256w256k128r32s32")
    for backend in BackendRegistry.all {
      for pass in ConvPass.allCases {
        for format in MemoryFormat.allCases {
          var operation = ConvOperation(pass, problem)
          (operation.inputFormat, operation.outputFormat, operation.filterFormat) = (format, format, format)
          let reason = backend.support(for: operation).reason ?? ""
          #expect(
            !reason.contains("mixture") && !reason.contains("leaves 0"),
            "\(backend.name) \(operation): \(reason)")
        }
      }
    }
  }
}
