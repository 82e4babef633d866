import CAllocationCounter
import ConvAutograd
import ConvBackends
import ConvCore
import ConvNN
import ConvOptim
import Foundation

// Training steps of seed-cnn in a process of their own, whose allocations are counted: `step-probe ENGINE [THREADS [STEPS
// [BATCH [FIRST]]]]` prints a line for each step. With `small` for BATCH a network of the same operations, so small that a
// step's time is what autograd and dispatch cost. FIRST is another engine for the first layer.

/// The seed network's layers with a few channels, on 8×8 images.
final class SmallCNN: Module {
  let conv1, conv2, conv3: Conv2d
  let pool: MaxPool2d
  let fc1, fc2: Linear

  init() throws {
    conv1 = try Conv2d(3, 8, kernelSize: 3, padding: 1)
    conv2 = try Conv2d(8, 8, kernelSize: 3, padding: 1)
    conv3 = try Conv2d(8, 8, kernelSize: 3, padding: 1)
    pool = MaxPool2d(kernelSize: 2)
    fc1 = try Linear(8, 8)
    fc2 = try Linear(8, 10)
  }

  func forward(_ input: Variable) throws -> Variable {
    var x = try conv1(input, relu: true, maxPool: pool)
    x = try conv2(x, relu: true, maxPool: pool)
    x = try conv3(x, relu: true, maxPool: pool)
    x = try x.flatten()
    x = try fc1(x, relu: true)
    return try fc2(x)
  }
}

func fail(_ text: String, status: Int32) -> Never {
  FileHandle.standardError.write(Data("step-probe: \(text)\n".utf8))
  exit(status)
}

let arguments = CommandLine.arguments.dropFirst().map { $0 }
guard let engine = arguments.first else { fail("which engine?", status: 64) }
let isSmall = arguments.count > 3 && arguments[3] == "small"
func number(_ index: Int, _ standard: Int) -> Int {
  arguments.count > index ? Int(arguments[index]) ?? standard : standard
}
let pool = WorkerPool.pool(threads: number(1, WorkerPool.shared.threads))
let steps = number(2, 4)
let batch = isSmall ? 1 : number(3, 64)
if allocation_counter_is_available() == 0 { fail("allocations are not counted here", status: 3) }

do {
  let backend = try BackendRegistry.named(engine).backend
  let model: any Module = isSmall ? try SmallCNN() : try SeedCNN()
  try initialize(model, seed: 1)
  if arguments.count > 4 {
    let first = model.namedModules().lazy.compactMap { $0.module as? ConvolutionLayer }.first
    first?.backend = try BackendRegistry.named(arguments[4]).backend
  }
  let optimizer = try Adam(model.parameters(), learningRate: 0.001)
  let criterion = CrossEntropyLoss()
  let random = Philox(seed: 1, stream: 9)
  let size = isSmall ? 8 : 32
  let images = try Tensor(
    (0..<batch * 3 * size * size).map { Float(random.uniform(at: UInt64($0))) },
    shape: [batch, 3, size, size])
  let labels = try Tensor((0..<batch).map { Int64($0 % 10) }, shape: [batch])
  var times: [Double] = []
  var stacks = false
  for step in 1...max(1, steps) {
    allocation_counter_start(4096)
    let start = ContinuousClock.now
    try withBackend(backend, pool: pool) {
      optimizer.zeroGrad()
      let loss = try criterion(model(Variable(images)), labels)
      try loss.backward()
      try optimizer.step()
    }
    let elapsed = ContinuousClock.now - start
    let count = allocation_counter_stop()
    let milliseconds =
      Double(elapsed.components.attoseconds) * 1e-15 + Double(elapsed.components.seconds) * 1e3
    times.append(milliseconds)
    if step <= 8 { print("step \(step): \(count) allocations, \(allocation_counter_bytes()) bytes") }
    if step > 2 && count > 0 && !stacks {
      allocation_counter_report(2)
      stacks = true
    }
  }
  let sorted = times.dropFirst(2).sorted()
  if !sorted.isEmpty {
    print("median \(sorted[sorted.count / 2]) ms, least \(sorted[0]) ms")
  }
} catch {
  fail("\(error)", status: 1)
}
