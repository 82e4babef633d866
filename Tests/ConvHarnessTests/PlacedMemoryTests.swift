import ConvBackends
import ConvCore
import Foundation
import Testing

@testable import ConvHarness

/// Where competitors work, and that it makes no difference to what they compute.
@Suite struct PlacedMemoryTests {
  private static let pool = WorkerPool.pool(threads: 2)

  private func tensors(
    _ problem: ConvProblem, _ format: MemoryFormat = .nchw
  ) throws -> (input: Tensor, filter: Tensor, outputGradient: Tensor) {
    let data = try ProblemData(problem: problem, seed: 3, pool: Self.pool)
    return (
      try data.input.converted(to: format), data.filter, try data.outputGradient.converted(to: format)
    )
  }

  private func problem() throws -> ConvProblem {
    try .conv2d(n: 2, c: 5, h: 13, w: 11, k: 7, r: 3, s: 3, stride: 1, padding: 1)
  }

  private func bytes(_ start: UnsafeRawPointer?, _ count: Int) throws -> [UInt8] {
    [UInt8](UnsafeRawBufferPointer(start: try #require(start), count: count))
  }

  @Test(arguments: ConvPass.allCases) func everyMoveTakesTheOperandsAlong(_ pass: ConvPass) throws {
    let operation = ConvOperation(pass, try problem())
    let tensors = try tensors(operation.problem)
    let memory = try PlacedMemory(operation: operation, tensors: tensors, workspaceBytes: 1000, seed: 1)
    let sources: [(tensor: Tensor, place: (ConvOperands) -> UnsafeMutableRawPointer?)] = [
      (tensors.input, { $0.input }), (tensors.filter, { $0.filter }), (tensors.outputGradient, { $0.output }),
    ]
    let resultIndex = [ConvPass.backwardData: 0, .backwardFilter: 1, .forward: 2][pass]!
    var places: [Set<UInt>] = [[], [], [], []]
    for _ in 0..<10 {
      let operands = memory.operands
      var ranges: [Range<UInt>] = []
      for (index, (tensor, place)) in sources.enumerated() {
        let start = try #require(place(operands))
        let expected = try tensor.withUnsafeRawPointer { try bytes($0, tensor.byteCount) }
        if index == resultIndex {
          // What an engine writes there must not reach anything else.
          memset(start, 0xAA, tensor.byteCount)
        } else {
          #expect(try bytes(start, tensor.byteCount) == expected, "operand \(index)")
        }
        let address = UInt(bitPattern: start)
        ranges.append(address..<address + UInt(tensor.byteCount))
        places[index].insert(address)
      }
      let workspace = try #require(memory.workspace(byteCount: 1000).baseAddress)
      let address = UInt(bitPattern: workspace)
      ranges.append(address..<address + 1000)
      places[3].insert(address)
      for (i, range) in ranges.enumerated() {
        #expect(range.lowerBound % 64 == 0)
        for other in ranges[(i + 1)...] { #expect(!range.overlaps(other)) }
      }
      memory.move()
    }
    for place in places { #expect(place.count > 5, "\(place)") }
  }

  @Test func largeRegionsMoveByPages() throws {
    let operation = ConvOperation(
      .forward, try .conv2d(n: 1, c: 64, h: 96, w: 96, k: 4, r: 1, s: 1, stride: 1, padding: 0))
    let memory = try PlacedMemory(
      operation: operation, tensors: try tensors(operation.problem), workspaceBytes: 0, seed: 1)
    for _ in 0..<10 {
      #expect(UInt(bitPattern: memory.operands.input) % 4096 == 0)
      memory.move()
    }
  }

  @Test(arguments: ConvPass.allCases) func everyEngineComputesTheSameEverywhere(_ pass: ConvPass) throws {
    let operation = ConvOperation(pass, try problem(), inputFormat: .nhwc, outputFormat: .nhwc)
    let tensors = try tensors(operation.problem, .nhwc)
    for name in ["im2col", "winograd", "direct", "fft"] {
      let backend = try BackendRegistry.named(name).backend
      for state in [FilterState.fresh, .prepared] where state == .fresh || pass != .backwardFilter {
        let options = PlanOptions(threads: 2, filterState: state)
        let plan = try backend.plan(for: operation, options)
        let prepared =
          state == .prepared
          ? try tensors.filter.withUnsafeRawPointer { try plan.prepare(filter: $0, pool: Self.pool) } : nil
        let contestant = Contestant(row: 0, plan: plan, preparedFilter: prepared, threadOwner: nil)
        let memory = try PlacedMemory(
          operation: operation, tensors: tensors, workspaceBytes: plan.workspaceBytes + 4096, seed: 7)
        var results: Set<[UInt8]> = []
        let count = operation.problem.resultShape(pass).reduce(4, *)
        for _ in 0..<4 {
          try contestant.execute(in: memory, pool: Self.pool, phases: nil)
          let operands = memory.operands
          let result = [ConvPass.forward: operands.output, .backwardData: operands.input][
            pass, default: operands.filter]
          let values = try bytes(result, count)
          #expect(values.contains { $0 != 0 })
          results.insert(values)
          memory.move()
        }
        #expect(results.count == 1, "\(name) \(state)")
      }
    }
  }

  @Test func roundsMoveTheMemoryWithinTheirShareOfTheTime() throws {
    let operation = ConvOperation(.forward, try problem())
    let plan = try BackendRegistry.named("im2col").backend.plan(for: operation, PlanOptions(threads: 2))
    let memory = try PlacedMemory(
      operation: operation, tensors: try tensors(operation.problem), workspaceBytes: plan.workspaceBytes,
      seed: 7)
    var executor = ContestantExecutor(
      contestants: [Contestant(row: 0, plan: plan, preparedFilter: nil, threadOwner: nil)],
      memory: memory, pool: Self.pool, shouldStop: { false })
    func place() -> UnsafeMutableRawPointer? { memory.operands.input }
    // The first round goes on where the warm-up was; before any execution there is no time to take a share of.
    let first = place()
    #expect(try executor.beginRound(0) == 0 && place() == first)
    _ = try executor.execute(0, repetitions: 1, isWarmUp: true)
    #expect(try executor.beginRound(1) > 0 && place() != first)
    let second = place()
    // The move was paid from nothing: until executions have made up for it, everything stays.
    var rounds = 2
    while place() == second && rounds < 10_000 {
      _ = try executor.execute(0, repetitions: 1, isWarmUp: false)
      _ = try executor.beginRound(rounds)
      rounds += 1
    }
    #expect(place() != second)
    #expect(executor.movingSeconds < 0.2 * executor.kernelSeconds + 0.01, "\(rounds)")
    let bytes = try #require(executor.peakBytes[0])
    #expect(bytes >= memory.operandBytes + plan.workspaceBytes)
  }
}

@Suite struct ThreadRestTests {
  @Test func theStateFollowsTheNameOfTheThread() {
    #expect(ThreadRest.isRunning(stat: "12 (worker) R 1 2 3"))
    #expect(ThreadRest.isRunning(stat: "12 (a) S) R 1 2 3"))
    #expect(!ThreadRest.isRunning(stat: "12 (a) R) S 1 2 3"))
    #expect(!ThreadRest.isRunning(stat: "12 (worker) D 1 2 3"))
    #expect(!ThreadRest.isRunning(stat: ""))
  }

  @Test func aPollingThreadIsSeenAndASleepingOneIsNot() throws {
    // Other tests run beside this one: only what a thread of our own adds can be told.
    let stop = Flag()
    let thread = Thread {
      while !stop.isSet {}
    }
    thread.start()
    #expect(!ThreadRest.wait(limit: 0.02))
    stop.set()
  }

  private final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
  }
}
