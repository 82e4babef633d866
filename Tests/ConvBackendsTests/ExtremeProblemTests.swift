import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvBackends

/// Problems up to the limits of what a problem may be: what needs no memory of their size is answered by every engine, in numbers or
/// with a reason. A size that overflows ends the process.
@Suite struct ExtremeProblemTests {
  private static let options: [PlanOptions] = [
    PlanOptions(threads: 2, workspaceLimit: 64 << 20),
    PlanOptions(threads: WorkerPool.maximumThreads, workspaceLimit: .max, filterState: .prepared),
    PlanOptions(threads: WorkerPool.maximumThreads, workspaceLimit: 1 << 26, filterState: .prepared),
    PlanOptions(threads: 1, workspaceLimit: 1 << 44),
  ]

  private static func operations(_ problem: ConvProblem, _ seed: Int) -> [ConvOperation] {
    ConvPass.allCases.enumerated().map { index, pass in
      var operation = ConvOperation(pass, problem)
      if (seed + index) % 4 == 0 { operation.elementType = .float64 }
      if (seed + index) % 3 == 0 {
        (operation.inputFormat, operation.outputFormat, operation.filterFormat) = (.nhwc, .nhwc, .nhwc)
      }
      switch ((seed + index) % 5, pass) {
      case (0, .forward): operation.epilogue = Epilogue(bias: true, relu: true)
      case (1, .forward) where problem.spatialRank == 2: operation.epilogue = Epilogue(maxPool2x2: true)
      case (2, _): operation.epilogue = Epilogue(accumulate: true)
      case (_, .backwardFilter): operation.epilogue = Epilogue(biasGradient: true)
      default: break
      }
      return operation
    }
  }

  /// What an engine says of an operation: nothing negative, nothing that is no number.
  private func ask(
    _ backend: any ConvolutionBackend, _ operation: ConvOperation, _ options: PlanOptions
  ) throws {
    let place: Comment = "\(backend.name): \(operation), \(options)"
    switch backend.support(for: operation, options) {
    case .unsupported(let reason):
      #expect(!reason.isEmpty, place)
      #expect(throws: ConvError.self, place) { try backend.plan(for: operation, options) }
    case .supported:
      do {
        let work = try backend.work(for: operation, options)
        for kind in ConvWork.Kind.allCases { #expect(work[kind] >= 0 && work[kind].isFinite, place) }
        // Tables of roots of unity are as large as a tile may be.
        guard options.workspaceLimit < 1 << 30 else { break }
        let plan = try backend.plan(for: operation, options)
        #expect(plan.workspaceBytes >= 0 && plan.preparedBytes >= 0, place)
        #expect(plan.executedFLOPs >= 0 && plan.executedFLOPs.isFinite, place)
        #expect(!plan.variant.isEmpty && !plan.executedBy.isEmpty && !plan.signature.isEmpty, place)
        _ = plan.errorModel
      } catch let error as MemoryError {
        // The tables of a plan are more than this machine has.
        #expect("\(error)".contains("bytes"), place)
      }
    }
  }

  private func ask(_ problem: ConvProblem, _ seed: Int) throws {
    for (index, operation) in Self.operations(problem, seed).enumerated() {
      let options = Self.options[(seed + index) % Self.options.count]
      // oneDNN looks for a kernel by itself, for minutes where paddings are millions.
      for backend in BackendRegistry.all.filter({ $0.name != "onednn" }) + [AutoBackend()] {
        // What hangs or ends the process is the last one that was named.
        if Self.isVerbose { print("\(backend.name) \(operation)") }
        let start = ContinuousClock.now
        try ask(backend, operation, options)
        let duration = ContinuousClock.now - start
        if Self.isVerbose && duration > .milliseconds(200) { print("took \(duration)") }
      }
      #expect(operation.problem.directFLOPs <= 0x1p51)
      #expect(try ConvProblem(parsing: "\(problem)") == problem)
    }
  }

  private static let isVerbose = getenv("VBENCH_TEST_VERBOSE") != nil

  @Test(arguments: ExtremeProblems.corners)
  func cornersAreAnswered(_ text: String) throws {
    let problem = try ConvProblem(parsing: text)
    for seed in 0..<2 { try ask(problem, seed) }
  }

  @Test func drawnProblemsAreAnswered() throws {
    for seed in 0..<60 { try ask(ExtremeProblems.problem(seed: UInt64(seed)), seed) }
  }
}
