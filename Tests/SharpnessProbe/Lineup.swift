import CoarseEngines
import ConvBackends
import ConvCore
import ConvHarness

/// Which engines are verified on what.
enum Lineup {
  struct Task {
    let table: SharpnessRow.Table
    let engine: String
    let backend: any ConvolutionBackend
    let suite, layer: String
    let problem: ConvProblem
    let pass: ConvPass
    let format: MemoryFormat
    /// Of the table of distributions.
    let distribution: DataDistribution?

    var key: SharpnessRow.Key { SharpnessRow.Key(table, engine, problem, pass, format, distribution) }
    /// A guess of the time that it takes, in units of its own: the float64 loops of the slow engines take much longer than those of
    /// verdicts.
    var weight: Double {
      let loops = engine == "naive" ? 4.0 : engine.hasPrefix(Defect.halfBfloat16.name) ? 2.0 : 0.05
      return 1e8 + loops * problem.directFLOPs
    }
  }

  private typealias Contender = (name: String, backend: any ConvolutionBackend)

  /// Engines that compute in float32 as well as it goes.
  private static var honest: [Contender] {
    BackendRegistry.all.filter { !$0.choosesEngines }.map { ($0.name, $0) }
  }

  /// Every defect behind the fastest plain sums; rounded operands behind transforms too, whose bounds are wider.
  private static func coarse() throws -> [Contender] {
    let direct = try BackendRegistry.named("direct").backend
    var engines: [Contender] = Defect.all.map { ("\($0.name) of direct", CoarseEngine($0, of: direct)) }
    for honest in BackendRegistry.all where ["winograd", "fft"].contains(honest.name) {
      for bits in [11, 8] {
        let defect = Defect.roundedOperands(bits: bits)
        engines.append(("\(defect.name) of \(honest.name)", CoarseEngine(defect, of: honest)))
      }
      engines.append(("coefficients-16-bits of \(honest.name)", RoundedTransforms(of: honest)))
    }
    return engines
  }

  /// All rows of some tables: problem by problem, so that engines share data and expectations.
  static func tasks(
    _ suites: [BenchmarkSuite], _ tables: [SharpnessRow.Table], where isWanted: (String) -> Bool
  ) throws -> [Task] {
    var layers: [(problem: ConvProblem, suites: [String], name: String)] = []
    for suite in suites {
      for layer in suite.problems {
        let problem = try layer.problem.withBatch(1)
        if let known = layers.firstIndex(where: { $0.problem == problem }) {
          if !layers[known].suites.contains(suite.name) { layers[known].suites.append(suite.name) }
        } else {
          layers.append((problem, [suite.name], layer.name))
        }
      }
    }
    let coarse = try tables.contains(.coarse) ? coarse().filter { isWanted($0.name) } : []
    let honest = honest.filter { isWanted($0.name) }
    var tasks: [Task] = []
    func add(
      _ table: SharpnessRow.Table, _ engines: [Contender], _ suite: String, _ layer: String,
      _ problem: ConvProblem, _ distribution: DataDistribution?
    ) {
      for pass in ConvPass.allCases {
        for format in MemoryFormat.allCases {
          for engine in engines {
            tasks.append(
              Task(
                table: table, engine: engine.name, backend: engine.backend, suite: suite, layer: layer,
                problem: problem, pass: pass, format: format, distribution: distribution))
          }
        }
      }
    }
    if tables.contains(.data) {
      for problem in try SharpnessProblems.few() {
        for distribution in DataDistribution.allCases {
          add(.data, honest, "few", "", problem, distribution)
        }
      }
    }
    for layer in layers {
      let suite = layer.suites.joined(separator: " ")
      add(.coarse, coarse, suite, layer.name, layer.problem, nil)
      if tables.contains(.honest) { add(.honest, honest, suite, layer.name, layer.problem, nil) }
    }
    return tasks
  }
}
