import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvBackends

@Suite struct ConvPlanFileTests {
  private static let processor = ProcessorModel(
    name: "Tester \"9\"", vendor: "Testers", family: 25, model: 1, stepping: 0)
  private static let machine = MachineIdentity(processor: processor, instructionSet: .avx2, threads: 2)

  private func key(
    _ text: String, _ pass: ConvPass = .forward, _ format: MemoryFormat = .nhwc, _ state: FilterState = .fresh
  ) throws -> ConvPlanFile.Key {
    ConvPlanFile.Key(try ConvProblem(parsing: text), pass, format, state)
  }

  private func plan(_ choices: [ConvPlanFile.Key: String], maxError: Double? = nil)
    -> ConvPlanFile.MachinePlan
  {
    ConvPlanFile.MachinePlan(
      machine: ConvPlanFileTests.machine, conditions: ConvPlanFile.Conditions(maxError: maxError),
      choices: choices.mapValues {
        ConvPlanFile.Choice(backend: $0, medianMilliseconds: 1.25, relativeError: 3e-6)
      })
  }

  private func withFile<R>(_ body: (String) throws -> R) throws -> R {
    try withTemporaryFolder { try body("\($0)/plan.json") }
  }

  @Test func whatIsWrittenIsRead() throws {
    let file = ConvPlanFile(machines: [
      plan(
        [
          try key("conv2d:n1c3h9w9k4r3s3p1"): "im2col",
          try key("conv2d:n1c3h9w9k4r3s3p1", .backwardFilter): "direct",
          try key("conv2d:n2c8h12w12k8r5s5p2g2", .backwardData, .nchw, .prepared): "winograd[tile=2x2]",
        ], maxError: 1e-3),
      ConvPlanFile.MachinePlan(
        machine: MachineIdentity(
          processor: ProcessorModel(name: "Other"), instructionSet: .avx512, threads: 64),
        conditions: ConvPlanFile.Conditions(
          workspaceLimit: 0, cacheState: "cold", openBLASCore: "SkylakeX")),
    ])
    try withFile { path in
      try file.write(to: path)
      #expect(try ConvPlanFile(path: path) == file)
      #expect(try ConvPlanFile(path: path).hash == file.hash && file.hash.count == 16)
      #expect(ConvPlanFile(machines: [file.machines[0]]).hash != file.hash)
      #expect(try ConvPlanFile(path: path).plan(for: ConvPlanFileTests.machine) == file.machines[0])
    }
  }

  /// Times of other machines say nothing about this one.
  @Test func otherMachinesAreRefused() throws {
    let file = ConvPlanFile(machines: [plan([:])])
    for change: (inout MachineIdentity) -> Void in [
      { $0.processor.name = "Another" }, { $0.processor.stepping = 1 }, { $0.processor.stepping = nil },
      { $0.processor.model = 2 }, { $0.threads = 1 }, { $0.instructionSet = .baseline },
    ] {
      var machine = ConvPlanFileTests.machine
      change(&machine)
      let error = #expect(throws: ConvError.self) { try file.plan(for: machine) }
      #expect("\(try #require(error))".contains("Tester"), "\(String(describing: error))")
    }
  }

  @Test func mergingKeepsWhatStillHolds() throws {
    let (a, b) = (try key("conv2d:n1c3h9w9k4r3s3p1"), try key("conv2d:n1c3h9w9k4r3s3p1", .backwardData))
    var file = ConvPlanFile(machines: [plan([a: "im2col", b: "direct"])])
    file.merge(plan([a: "winograd"]))
    #expect(
      file.machines.count == 1
        && file.machines[0].choices.mapValues(\.backend) == [a: "winograd", b: "direct"])
    // Choices made under another limit are not known to keep it.
    file.merge(plan([a: "im2col"], maxError: 1e-5))
    #expect(file.machines.count == 1 && file.machines[0].choices.mapValues(\.backend) == [a: "im2col"])
    for (choice, change) in [
      ("direct", { $0.conditions.cacheState = "cold" }), ("winograd", { $0.conditions.openBLASCore = "Zen" }),
    ] as [(String, (inout ConvPlanFile.MachinePlan) -> Void)] {
      var other = plan([b: choice], maxError: 1e-5)
      change(&other)
      file.merge(other)
      #expect(file.machines.count == 1 && file.machines[0].choices.mapValues(\.backend) == [b: choice])
    }
    var other = plan([a: "fft"])
    other.machine.threads = 7
    file.merge(other)
    #expect(file.machines.count == 2)
  }

  @Test(arguments: [
    ("[]", "object"), ("{\"format\": \"vbench-plan-1\", \"machines\": []}", "tune again"),
    ("{\"format\": \"vbench-plan-3\", \"machines\": []}", "vbench-plan-2"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": {}}", "machines"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": [{}]}", "machines[0].cpu"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": [MACHINE 0 END]}", "machines[0].choices[0]"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": [MACHINE CHOICE, CHOICE END]}", "second choice"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": [MACHINE END, MACHINE END]}", "twice"),
    ("{\"format\": \"vbench-plan-2\", \"machines\": [", "byte"),
  ])
  func malformedFilesAreErrorsWithAPlace(_ text: String, _ place: String) throws {
    let machine =
      "{\"cpu\": \"x\", \"vendor\": \"y\", \"family\": 1, \"model\": 2, \"stepping\": null, "
      + "\"instruction_set\": \"avx2\", \"threads\": 1, \"openblas_core\": null, "
      + "\"cache_state\": \"warm\", \"max_error\": null, \"workspace_limit_bytes\": 1, \"choices\": ["
    let choice =
      "{\"problem\": \"conv2d:n1c3h9w9k4r3s3p1\", \"pass\": \"forward\", \"format\": \"nhwc\", "
      + "\"filter_state\": \"fresh\", \"backend\": \"naive\", \"median_ms\": 1, \"relative_error\": 0}"
    let whole = text.replacingOccurrences(of: "MACHINE", with: machine)
      .replacingOccurrences(of: "CHOICE", with: choice).replacingOccurrences(of: "END", with: "]}")
    try withFile { path in
      try AtomicFile.write(whole, to: path)
      let error = #expect(throws: FileError.self) { try ConvPlanFile(path: path) }
      #expect("\(try #require(error))".contains(place), "\(String(describing: error))")
    }
  }

  /// Any cut and any changed byte of a good file is read or refused, never a crash.
  @Test func garbledFilesNeverCrash() throws {
    let file = ConvPlanFile(machines: [plan([try key("conv2d:n1c3h9w9k4r3s3p1"): "im2col"], maxError: 0.5)])
    try withFile { path in
      try file.write(to: path)
      let bytes = try InputFile.bytes(of: path)
      var generator = PhiloxGenerator(seed: 5)
      for round in 0..<400 {
        var garbled = bytes
        if round % 2 == 0 {
          garbled.removeLast(Int.random(in: 1...bytes.count, using: &generator))
        } else {
          garbled[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
            in: 0...255, using: &generator)
        }
        try AtomicFile.write(garbled, to: path)
        do { _ = try ConvPlanFile(path: path) } catch is FileError {}
      }
    }
  }

  /// `auto` takes what the file says where it says something, and predicts elsewhere.
  @Test func autoFollowsTheFile() throws {
    let text = "conv2d:n1c64h14w14k64r3s3p1"
    let auto = try AutoBackend(
      following: plan([try key(text): "naive", try key(text, .backwardFilter): "im2col[gemm=kernel]"]))
    func executedBy(_ pass: ConvPass, _ format: MemoryFormat, _ text: String = text, relu: Bool = false)
      throws -> String
    {
      let operation = ConvOperation(
        pass, try ConvProblem(parsing: text), inputFormat: format, outputFormat: format,
        epilogue: Epilogue(relu: relu))
      let options = PlanOptions(threads: 2)
      #expect(auto.support(for: operation, options).isSupported)
      return try auto.plan(for: operation, options).variant
    }
    let predicted = try AutoBackend().plan(
      for: ConvOperation(.backwardData, ConvProblem(parsing: text), inputFormat: .nhwc, outputFormat: .nhwc))
    #expect(try executedBy(.forward, .nhwc).hasPrefix("naive"))
    #expect(try executedBy(.forward, .nhwc, relu: true).hasPrefix("naive"))
    #expect(try executedBy(.backwardFilter, .nhwc) == "im2col[gemm=kernel]")
    #expect(try executedBy(.backwardData, .nhwc) == predicted.variant)
    #expect(try !executedBy(.forward, .nchw).hasPrefix("naive"))
    #expect(try !executedBy(.forward, .nhwc, "conv2d:n2c64h14w14k64r3s3p1").hasPrefix("naive"))
  }

  /// No silent substitution: a choice that the named engine declines is an error, with its reason.
  @Test func whatTheNamedEngineDeclinesIsAnError() throws {
    let text = "conv2d:n1c8h20w20k8r9s9p4"
    let error = #expect(throws: ConvError.self) {
      try AutoBackend(following: plan([try key(text): "winograd"]))
    }
    #expect("\(try #require(error))".contains("plan file names winograd"), "\(String(describing: error))")
    #expect(throws: ConvError.self) { try AutoBackend(following: plan([try key(text): "winogard"])) }
  }

  /// `auto` chooses among engines: a plan that names it says nothing.
  @Test func autoIsNoChoice() throws {
    let error = #expect(throws: ConvError.self) {
      try AutoBackend(following: plan([try key("conv2d:n1c3h9w9k4r3s3p1"): "auto"]))
    }
    #expect("\(try #require(error))".contains("names auto"), "\(String(describing: error))")
  }

  /// A plan is for one number of threads, and its choices may take the workspace that they were measured with.
  @Test func choicesHoldUnderTheirConditions() throws {
    let text = "conv2d:n1c16h14w14k16r3s3p1"
    var one = plan([try key(text): "winograd[tile=2x2]"])
    one.machine.threads = 1
    let auto = try AutoBackend(following: [plan([try key(text): "naive"]), one])
    let operation = ConvOperation(
      .forward, try ConvProblem(parsing: text), inputFormat: .nhwc, outputFormat: .nhwc)
    func choice(_ options: PlanOptions) -> String? {
      auto.plannedCandidate(for: operation, options).map { "\($0)" }
    }
    #expect(choice(PlanOptions(threads: 2)) == "naive")
    #expect(choice(PlanOptions(threads: 1)) == "winograd[tile=2x2]")
    #expect(choice(PlanOptions(threads: 3)) == nil)
    #expect(choice(PlanOptions(threads: 2, workspaceLimit: 1 << 27)) == "naive")
    #expect(choice(PlanOptions(threads: 2, workspaceLimit: (1 << 26) - 1)) == nil)
    #expect(choice(PlanOptions(threads: 2, filterState: .prepared)) == nil)
    let plan = try auto.plan(for: operation, PlanOptions(threads: 1))
    #expect(plan.variant.hasPrefix("winograd[tile=2x2"), "\(plan.variant)")
  }

  /// What an engine's identity is made from does not grow with the plan: it is looked at in every `withBackend`.
  @Test func aPlanIsOneObject() throws {
    var choices: [ConvPlanFile.Key: String] = [:]
    for n in 1...50 { choices[try key("conv2d:n\(n)c3h9w9k4r3s3p1")] = "naive" }
    func values(_ value: Any) -> Int {
      let mirror = Mirror(reflecting: value)
      return mirror.displayStyle == .class ? 1 : mirror.children.reduce(1) { $0 + values($1.value) }
    }
    #expect(
      try values(AutoBackend(following: plan(choices)))
        == values(AutoBackend(following: plan([try key("conv2d:n1c3h9w9k4r3s3p1"): "naive"]))))
  }
}
