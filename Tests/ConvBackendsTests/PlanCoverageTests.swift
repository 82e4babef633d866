import ConvCore
import Testing

@testable import ConvBackends

/// What of a plan file is followed, and what is said about the rest.
@Suite struct PlanCoverageTests {
  private static let machine = MachineIdentity(
    processor: ProcessorModel(name: "Tester", vendor: "Testers", family: 25, model: 1, stepping: 0),
    instructionSet: .avx2, threads: 2)
  private static let first = "conv2d:n8c3h9w9k4r3s3p1"
  private static let second = "conv2d:n8c4h9w9k4r3s3p1"

  private func key(
    _ text: String, _ pass: ConvPass = .forward, _ format: MemoryFormat = .nhwc, _ state: FilterState = .fresh
  ) throws -> ConvPlanFile.Key {
    ConvPlanFile.Key(try ConvProblem(parsing: text), pass, format, state)
  }

  private func plan(
    _ keys: [ConvPlanFile.Key], _ change: (inout ConvPlanFile.MachinePlan) -> Void = { _ in }
  ) -> ConvPlanFile.MachinePlan {
    var plan = ConvPlanFile.MachinePlan(
      machine: Self.machine, conditions: ConvPlanFile.Conditions(openBLASCore: "Zen"),
      choices: Dictionary(
        uniqueKeysWithValues: keys.map {
          ($0, ConvPlanFile.Choice(backend: "naive", medianMilliseconds: 1, relativeError: 0))
        }))
    change(&plan)
    return plan
  }

  private func coverage(
    _ plans: [ConvPlanFile.MachinePlan], _ keys: [ConvPlanFile.Key], threads: Int = 2,
    workspaceLimit: Int = 1 << 26, cache: String? = "warm", core: String? = "Zen"
  ) -> PlanCoverage {
    ConvPlanFile(machines: plans).coverage(
      of: keys.map {
        PlanCoverage.Request($0, threads: threads, workspaceLimit: workspaceLimit, cacheState: cache)
      }, on: Self.machine, openBLASCore: core)
  }

  @Test func whatIsFollowedIsCountedAndNeedsNoWords() throws {
    let keys = [try key(Self.first), try key(Self.first, .backwardFilter), try key(Self.second)]
    let whole = coverage([plan(keys)], keys)
    #expect(whole.asked == 3 && whole.followed == 3)
    #expect(whole.warnings(file: "plan.json", noun: "items").isEmpty)
    // A step of a training finds the caches in no state that has a name.
    #expect(coverage([plan(keys) { $0.conditions.cacheState = "cold" }], keys, cache: nil).changes.isEmpty)
  }

  /// Each thing that a choice may differ in is said, with both values and how many operations it is about.
  @Test(arguments: [
    ("in nchw, not in nhwc", "format"), ("with prepared filters, not with fresh filters", "state"),
    ("at batch 1 or 4, not at batch 8", "batch"), ("for 64 threads, not for 2 threads", "threads"),
    ("with a workspace of 128 MiB, not with a workspace of 64 MiB", "workspace"),
    (
      "for Tester (family 25, model 1, stepping 1), avx2, not for Tester (family 25, model 1, stepping 0), avx2",
      "stepping"
    ),
    (
      "for Tester (family 25, model 1, stepping 0), avx512, not for Tester (family 25, model 1, stepping 0), avx2",
      "set"
    ), ("in nchw, at batch 4, not in nhwc, at batch 8", "two"),
  ])
  func differencesAreSaid(_ words: String, _ what: String) throws {
    let wanted = [try key(Self.first), try key(Self.second), try key(Self.first, .backwardFilter)]
    let four = (try key("conv2d:n4c3h9w9k4r3s3p1"), try key("conv2d:n4c4h9w9k4r3s3p1"))
    var plans: [ConvPlanFile.MachinePlan] = []
    switch what {
    case "format":
      plans = [plan([try key(Self.first, .forward, .nchw), try key(Self.second, .forward, .nchw)])]
    case "state":
      plans = [
        plan([
          try key(Self.first, .forward, .nhwc, .prepared), try key(Self.second, .forward, .nhwc, .prepared),
        ])
      ]
    case "batch": plans = [plan([four.0, try key("conv2d:n1c4h9w9k4r3s3p1")])]
    case "threads": plans = [plan(Array(wanted.prefix(2))) { $0.machine.threads = 64 }]
    case "workspace": plans = [plan(Array(wanted.prefix(2))) { $0.conditions.workspaceLimit = 1 << 27 }]
    case "stepping": plans = [plan(Array(wanted.prefix(2))) { $0.machine.processor.stepping = 1 }]
    case "set": plans = [plan(Array(wanted.prefix(2))) { $0.machine.instructionSet = .avx512 }]
    default:
      plans = [
        plan([
          try key("conv2d:n4c3h9w9k4r3s3p1", .forward, .nchw),
          try key("conv2d:n4c4h9w9k4r3s3p1", .forward, .nchw),
        ])
      ]
    }
    plans.append(plan([wanted[2]]) { if what == "threads" || what == "stepping" { $0.machine.threads = 2 } })
    // Of one machine there is one plan.
    if plans[0].machine == plans[1].machine && plans[0].conditions == plans[1].conditions {
      plans[0].choices.merge(plans[1].choices) { old, _ in old }
      plans.removeLast()
    }
    let found = coverage(plans, wanted)
    #expect(found.asked == 3 && found.followed == 1, "\(found)")
    let warnings = found.warnings(file: "plan.json", noun: "items")
    #expect(
      warnings == [
        "plan.json has only \(words), for 2 of 3 items (\(Self.first) forward and others): auto predicts there"
      ])
  }

  /// A near choice is named and not a far one; what has neither is said too.
  @Test func theNearestIsNamed() throws {
    let keys = [try key(Self.first, .forward, .nchw), try key("conv2d:n4c3h9w9k4r3s3p1", .forward, .nchw)]
    let other = plan([try key(Self.first)]) { $0.machine.processor.stepping = 1 }
    let found = coverage([other, plan(keys)], [try key(Self.first), try key(Self.second)])
    #expect(
      found.warnings(file: "p", noun: "items") == [
        "p has no choice for any of the 2 items",
        "p has nothing for 1 of 2 items (\(Self.second) forward): auto predicts there",
        "p has only in nchw, not in nhwc, for 1 of 2 items (\(Self.first) forward): auto predicts there",
      ])
  }

  /// Choices that are followed under other conditions than they were made under may not be the best any more.
  @Test func changedConditionsAreSaid() throws {
    let keys = [try key(Self.first), try key(Self.second)]
    #expect(
      coverage([plan(keys)], keys, cache: "cold", core: "Haswell").warnings(file: "p", noun: "items") == [
        "p was tuned with warm caches, these are cold (2 of 2)",
        "p was tuned with OpenBLAS's core Zen, now it is Haswell",
      ])
    #expect(
      coverage([plan(keys)], keys, core: nil).changes == [
        "was tuned with OpenBLAS's core Zen, now it is none"
      ])
  }
}
