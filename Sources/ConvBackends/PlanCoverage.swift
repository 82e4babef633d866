public import ConvCore

/// How much of what is going to be computed a plan file decides, and why not the rest.
public struct PlanCoverage: Sendable, Hashable {
  /// One operation that is going to be asked for, with all that a choice for it depends on.
  public struct Request: Hashable, Sendable {
    public var key: ConvPlanFile.Key
    public var threads: Int
    public var workspaceLimit: Int
    /// What the caches hold before it; nil where that is not one of the defined states, as in training steps.
    public var cacheState: String?

    /// A request from its parts.
    public init(
      _ key: ConvPlanFile.Key, threads: Int, workspaceLimit: Int = PlanOptions().workspaceLimit,
      cacheState: String? = nil
    ) {
      self.key = key
      self.threads = threads
      self.workspaceLimit = workspaceLimit
      self.cacheState = cacheState
    }
  }

  /// What a choice in the file can differ in from what is asked for, the nearest miss first.
  enum Difference: Int, CaseIterable {
    case format, filterState, batch, workspace, threads, machine
  }

  /// Requests that no choice is for, all for the same reason.
  public struct Gap: Hashable, Sendable {
    /// How many requests.
    public var count: Int
    /// The first of them.
    public var example: ConvPlanFile.Key
    /// What the file has instead, as in `in nchw`; empty where it has nothing of the kind.
    public var found: String
    /// What is asked for, as in `in nhwc`.
    public var wanted: String
  }

  /// How many operations are asked for, and how many the file decides.
  public private(set) var asked = 0, followed = 0
  /// Why the others are not, the most frequent reason first.
  public private(set) var gaps: [Gap] = []
  /// What is different from when the choices that are followed were made, in sentences without the file's name.
  public private(set) var changes: [String] = []
}

extension ConvPlanFile {
  /// What of `requests` the file decides on a machine whose OpenBLAS runs a core; `machine.threads` is of no account.
  public func coverage(
    of requests: [PlanCoverage.Request], on machine: MachineIdentity, openBLASCore: String?
  ) -> PlanCoverage {
    PlanCoverage(self, requests, machine, openBLASCore)
  }
}

extension PlanCoverage {
  /// What choices have in common that differ in no more than can be told.
  private struct Shape: Hashable {
    let problem: ConvProblem?
    let pass: ConvPass
    init(_ key: ConvPlanFile.Key) {
      problem = try? key.problem.withBatch(1)
      pass = key.pass
    }
  }

  fileprivate init(
    _ file: ConvPlanFile, _ requests: [Request], _ machine: MachineIdentity, _ openBLASCore: String?
  ) {
    var index: [Shape: [(plan: Int, key: ConvPlanFile.Key)]] = [:]
    for (number, plan) in file.machines.enumerated() {
      for key in plan.choices.keys { index[Shape(key), default: []].append((number, key)) }
    }
    var missed: [[Difference]: (count: Int, example: ConvPlanFile.Key, found: [Difference: Set<String>])] =
      [:]
    var wanted: [[Difference]: [Difference: Set<String>]] = [:]
    var otherCaches: [String: Int] = [:]
    var otherCores: Set<String> = []
    for request in requests {
      asked += 1
      let misses = (index[Shape(request.key)] ?? []).map { plan, key in
        (PlanCoverage.differences(file.machines[plan], key, request, machine), file.machines[plan], key)
      }
      let least = misses.map { PlanCoverage.weight($0.0) }.min()
      let nearest = misses.filter { PlanCoverage.weight($0.0) == least }
      guard let differences = nearest.first?.0, !differences.isEmpty else {
        guard let plan = nearest.first?.1 else {
          missed[[], default: (0, request.key, [:])].count += 1
          continue
        }
        followed += 1
        if let state = request.cacheState, state != plan.conditions.cacheState {
          otherCaches["\(plan.conditions.cacheState) caches, these are \(state)", default: 0] += 1
        }
        if plan.conditions.openBLASCore != openBLASCore {
          let cores = [plan.conditions.openBLASCore, openBLASCore].map { $0 ?? "none" }
          otherCores.insert("OpenBLAS's core \(cores[0]), now it is \(cores[1])")
        }
        continue
      }
      missed[differences, default: (0, request.key, [:])].count += 1
      for difference in differences {
        for (_, plan, key) in nearest {
          missed[differences]?.found[difference, default: []].insert(
            PlanCoverage.text(difference, key, plan.conditions.workspaceLimit, plan.machine))
        }
        var own = machine
        own.threads = request.threads
        wanted[differences, default: [:]][difference, default: []].insert(
          PlanCoverage.text(difference, request.key, request.workspaceLimit, own))
      }
    }
    gaps = missed.map { differences, miss in
      func words(_ values: [Difference: Set<String>]?) -> String {
        differences.map { difference in
          let names = values?[difference].map { $0.sorted { ($0.count, $0) < ($1.count, $1) } } ?? []
          return difference.preposition + " " + names.joined(separator: " or ")
        }.joined(separator: ", ")
      }
      return Gap(
        count: miss.count, example: miss.example, found: words(miss.found),
        wanted: words(wanted[differences]))
    }.sorted { ($1.count, $0.found) < ($0.count, $1.found) }
    changes =
      otherCaches.sorted { $0.key < $1.key }.map { "was tuned with \($0.key) (\($0.value) of \(asked))" }
      + otherCores.sorted().map { "was tuned with \($0)" }
  }

  /// What a choice is for and what is asked for differ in; nothing where the choice is followed.
  private static func differences(
    _ plan: ConvPlanFile.MachinePlan, _ key: ConvPlanFile.Key, _ request: Request, _ machine: MachineIdentity
  ) -> [Difference] {
    Difference.allCases.filter { difference in
      switch difference {
      case .format: key.format != request.key.format
      case .filterState: key.filterState != request.key.filterState
      case .batch: key.problem.n != request.key.problem.n
      case .workspace: request.workspaceLimit < plan.conditions.workspaceLimit
      case .threads: plan.machine.threads != request.threads
      case .machine: !plan.machine.matches(machine)
      }
    }
  }

  /// Fewer differences first, then nearer ones.
  private static func weight(_ differences: [Difference]) -> Int {
    differences.reduce(0) { $0 + 64 + 1 << $1.rawValue }
  }

  private static func text(
    _ difference: Difference, _ key: ConvPlanFile.Key, _ workspaceLimit: Int, _ machine: MachineIdentity
  ) -> String {
    switch difference {
    case .format: key.format.rawValue
    case .filterState: "\(key.filterState.rawValue) filters"
    case .batch: "\(key.problem.n)"
    case .workspace:
      workspaceLimit % (1 << 20) == 0 ? "\(workspaceLimit >> 20) MiB" : "\(workspaceLimit) bytes"
    case .threads: "\(machine.threads) thread\(machine.threads == 1 ? "" : "s")"
    case .machine: "\(machine.processor), \(machine.instructionSet)"
    }
  }

  /// What is said about a file of that name: one sentence per reason, without a full stop.
  ///
  /// - Parameter noun: what the requests are, as in `items`.
  public func warnings(file: String, noun: String) -> [String] {
    var sentences: [String] = []
    if followed == 0 && asked > 0 {
      sentences.append("\(file) has no choice for any of the \(asked) \(noun)")
    }
    sentences += gaps.map { gap in
      let example = "\(gap.example.problem) \(gap.example.pass.rawValue)"
      let which = gap.count == 1 ? example : "\(example) and others"
      let difference = gap.found.isEmpty ? "nothing for" : "only \(gap.found), not \(gap.wanted), for"
      return "\(file) has \(difference) \(gap.count) of \(asked) \(noun) (\(which)): auto predicts there"
    }
    return sentences + changes.map { "\(file) \($0)" }
  }
}

extension PlanCoverage.Difference {
  fileprivate var preposition: String {
    switch self {
    case .format: "in"
    case .filterState: "with"
    case .batch: "at batch"
    case .workspace: "with a workspace of"
    case .threads, .machine: "for"
    }
  }
}
