import ConvAutograd
import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

/// What a training step asks of every engine beyond its passes.
@Suite struct TrainingStepTests {
  /// Bias, ReLU and pooling of one plan against the passes one by one on the same engine: bit by bit.
  @Test(arguments: BackendRegistry.names, [MemoryFormat.nchw, .nhwc])
  func epiloguesEqualTheirPasses(_ name: String, _ format: MemoryFormat) throws {
    let backend = try BackendRegistry.named(name).backend
    for text in [
      "conv2d:n2c3h12w12k32r3s3p1", "conv2d:n3c16h9w14k24r3s3p1", "conv2d:n1c5h7w6k7r3s3",
      "conv2d:n2c8h11w10k9r5s5p2", "conv2d:n2c6h9w9k6r3s3p1g3",
    ] {
      let problem = try ConvProblem(parsing: text)
      for type in elementTypes(of: backend) {
        let x = try random(problem.inputShape, type, seed: 1).converted(to: format)
        let w = try random(problem.filterShape, type, seed: 2)
        let b = try random([problem.k], type, seed: 3)
        func forward(_ epilogue: Epilogue) throws -> (output: Tensor, argmax: Tensor?) {
          try backend.plan(
            for: ConvOperation(
              .forward, problem, elementType: type, inputFormat: format, outputFormat: format,
              epilogue: epilogue)
          ).forward(input: x, filter: w, bias: b)
        }
        let plain = Variable(try forward(Epilogue(bias: true)).output, requiresGrad: true)
        for (relu, pools) in [(true, false), (false, true), (true, true)] {
          let what = "\(name) \(text) \(format) \(type), relu \(relu), pooling \(pools)"
          let (y, argmax) = try forward(Epilogue(bias: true, relu: relu, maxPool2x2: pools))
          var expected = plain
          if relu { expected = try expected.relu() }
          if pools { expected = try expected.maxPool2d(kernel: 2) }
          #expect(bits(y) == bits(expected.value), "\(what)")
          guard pools, !relu else { continue }
          // The winners, as the gradient of ones finds them.
          plain.zeroGrad()
          try expected.backward(
            gradient: Tensor.full(expected.shape, 1 as Float).converted(to: type))
          let marks = try plain.grad.map { try $0.converted(to: .float64).values(as: Double.self) } ?? []
          let places = try #require(argmax).values(as: UInt8.self)
          let (height, width) = (problem.output.h, problem.output.w)
          let (rows, columns) = (height / 2, width / 2)
          for (index, place) in places.enumerated() {
            let (plane, p, q) = (index / (rows * columns), index / columns % rows, index % columns)
            let at = (plane * height + 2 * p + Int(place) / 2) * width + 2 * q + Int(place) % 2
            if place > 3 || marks[at] != 1 { Issue.record("\(what): winner \(place) of window \(index)") }
          }
        }
      }
    }
  }

  private func random(_ shape: [Int], _ type: ElementType, seed: UInt64) throws -> Tensor {
    let random = Philox(seed: seed, stream: 5)
    return try Tensor(
      (0..<shape.reduce(1, *)).map { Float(random.normal(at: UInt64($0))) }, shape: shape
    ).converted(to: type)
  }

  /// From the third step on everything comes out of the pool: counted in a process of its own, all of it.
  @Test(
    .disabled(if: isSanitized, "sanitizers have allocation functions of their own: nothing is counted"),
    arguments: ["im2col", "winograd", "direct"], [1, 2])
  func laterStepsAllocateNothingLarge(_ name: String, _ threads: Int) throws {
    let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let process = Process()
    process.executableURL = folder.appending(path: "step-probe")
    process.arguments = [name, "\(threads)", "6", "64"]
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let stacks = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(stacks)")
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("step ") }
    #expect(lines.count == 6)
    #expect(lines.first.map { !$0.contains(": 0 allocations") } == true, "nothing is counted: \(text)")
    #expect(lines.dropFirst(2).allSatisfy { $0.contains(": 0 allocations") }, "\(name): \(text)\(stacks)")
  }
}
