import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// `--plan`: a file of `vbench tune` that auto follows.
struct PlanFileOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A plan file of `vbench tune`, which auto follows; what of it does not apply is said. Without --threads it decides their number. If left out auto predicts.",
      valueName: "file"), completion: .file(extensions: ["json"]))
  var plan: String?

  /// The file; nil where none is named.
  ///
  /// - Throws: `FileError`.
  func read() throws -> FollowedPlan? { try plan.map { try FollowedPlan(path: $0) } }
}

/// A plan file that auto follows on this machine.
struct FollowedPlan {
  /// As the command line names it.
  let path: String
  private let file: ConvPlanFile
  private let machine = MachineIdentity.current()

  /// Reads the file.
  ///
  /// - Throws: `FileError`.
  init(path: String) throws {
    self.path = path
    file = try ConvPlanFile(path: path)
  }

  /// The name without folders, for sentences.
  private var name: String { (path as NSString).lastPathComponent }

  /// The number of threads of a command without `--threads` that otherwise takes the pool's: that one, where VBENCH_THREADS says it or
  /// the file has choices for it on this machine, else the file's.
  func threadsOfPool() -> Int {
    let standard = WorkerPool.shared.threads
    let isStated = ProcessInfo.processInfo.environment["VBENCH_THREADS"] != nil
    return isStated ? standard : threads(standard: [standard])[0]
  }

  /// The numbers of threads of a command without `--threads`: those of `standard` that the file has choices for on this machine, else
  /// the largest that it has, and that is said. A file without any leaves `standard` as it is.
  func threads(standard: [Int]) -> [Int] {
    let known = file.threadCounts(on: machine)
    let common = standard.filter(known.contains)
    let counts = known.isEmpty ? standard : common.isEmpty ? known.suffix(1) : common
    if counts != standard {
      let text = counts.map { "\($0)" }.joined(separator: ", ")
      Terminal.warn("note: threads: \(text), for which \(name) was tuned (--threads takes another number)")
    }
    return counts
  }

  /// The competitors, auto among them with the file's choices for this machine.
  ///
  /// - Throws: `UsageError` where auto does not take part; `ConvError.unknownName` where the file is not for this machine with any of
  ///   the numbers of threads or names an engine that this build has not; `ConvError.unsupported` where it cannot be followed.
  func apply(to competitors: [Competitor], threads: [Int]) throws -> [Competitor] {
    guard competitors.contains(where: { $0.backend is AutoBackend }) else {
      throw UsageError("--plan is for auto, which is not among the backends")
    }
    let auto = try AutoBackend(following: file.plans(for: machine, threads: threads))
    return competitors.map { competitor in
      var competitor = competitor
      if competitor.backend is AutoBackend {
        competitor.backend = auto
        competitor.options = "--plan \(ShellText.quoted(path))"
      }
      return competitor
    }
  }

  /// What is said about how far the file is followed; to be called when OpenBLAS's core is chosen.
  func report(on parts: [Part]) -> Report {
    let known = parts.filter { !$0.requests.isEmpty }
    var report = Report(fact: "", warnings: [])
    var shares: [String] = []
    for part in known {
      let coverage = file.coverage(
        of: part.requests, on: machine, openBLASCore: BackendRegistry.openBLASCore)
      shares.append("\(coverage.followed) of \(coverage.asked) \(part.noun)")
      report.warnings += coverage.warnings(file: name, noun: part.noun)
    }
    report.fact =
      "\(name) (\(file.hash)) is "
      + (shares.isEmpty
        ? "asked for nothing, since auto is not" : "followed in " + shares.joined(separator: ", in "))
    return report
  }

  /// Operations of one kind that auto is asked for.
  struct Part {
    /// What they are, as in `items`.
    var noun: String
    var requests: [PlanCoverage.Request]
  }

  /// How far a file is followed.
  struct Report {
    /// As in `plan.json (af63bd4c8601b7df) is followed in 60 of 63 items`.
    var fact: String
    /// Why not in the rest, and what else is different from when it was tuned.
    var warnings: [String]

    /// Says so on standard error.
    func show() {
      Terminal.warn("note: \(fact)")
      for warning in warnings { Terminal.warn("warning: \(warning)") }
    }
  }
}

extension FollowedPlan.Part {
  /// Items, each under all conditions; nothing where auto is none of the competitors.
  init(_ items: [RunItem], _ conditions: [RunCondition], of competitors: [Competitor]) {
    noun = "items"
    guard competitors.contains(where: { $0.backend is AutoBackend }) else {
      requests = []
      return
    }
    requests = items.flatMap { item in
      conditions.compactMap { condition in
        ConvPlanFile.Key(item.operation, item.filterState).map {
          PlanCoverage.Request(
            $0, threads: condition.pool.threads, workspaceLimit: condition.workspaceLimit,
            cacheState: condition.cache.rawValue)
        }
      }
    }
  }

  /// What auto does in the training steps of a network on any of some engines, or on their fallback.
  ///
  /// - Parameters:
  ///   - format: of the images; nil leaves it to the engine.
  ///   - givesLowerings: whether the fallback has also the layers that an engine can run by lowerings only.
  /// - Throws: what the network throws.
  init(
    training network: ImageNetwork, batch: Int, engines: [Competitor], fallback: Competitor?, threads: [Int],
    format: MemoryFormat? = nil, givesLowerings: Bool = false
  ) throws {
    noun = "convolutions in training steps of \(network.name)"
    var requests: [PlanCoverage.Request] = []
    var known: Set<PlanCoverage.Request> = []
    for count in threads {
      for engine in engines where engine.backend is AutoBackend || fallback?.backend is AutoBackend {
        let convolutions = try NetworkConvolutions(
          of: network, batch: batch, format: format, on: engine, fallback: fallback,
          givesLowerings: givesLowerings, threads: count)
        for entry in convolutions.entries {
          guard (entry.isFallback ? fallback : engine)?.backend is AutoBackend,
            let key = ConvPlanFile.Key(entry.operation, .fresh)
          else { continue }
          let request = PlanCoverage.Request(key, threads: count)
          if known.insert(request).inserted { requests.append(request) }
        }
      }
    }
    self.requests = requests
  }
}
