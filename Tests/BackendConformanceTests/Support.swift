import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// The checkout's root, where README.md and References/ are.
let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// The stored references, or the folder that VBENCH_REFERENCES names.
let referencesRoot =
  ProcessInfo.processInfo.environment["VBENCH_REFERENCES"]
  ?? checkout.appendingPathComponent("References").path

/// VBENCH_WIDE=1 multiplies the number of random problems.
let breadth = ProcessInfo.processInfo.environment["VBENCH_WIDE"] == "1" ? 10 : 1

/// A problem of at most a few million multiplications. `taps` limits the filter, for engines that need it.
func randomProblem(seed: UInt64, taps: [Int]? = nil, strides: Bool = true) -> ConvProblem {
  var generator = PhiloxGenerator(seed: seed)
  while true {
    let rank = [1, 2, 2, 2, 2, 3].randomElement(using: &generator)!
    let groups = [1, 1, 1, 2, 3].randomElement(using: &generator)!
    func extent(_ unused: Int = 1, _ choose: (inout PhiloxGenerator) -> Int) -> Extent {
      var extent = Extent(d: unused, h: unused, w: unused)
      for axis in (3 - rank)..<3 { extent[axis] = choose(&generator) }
      return extent
    }
    var filter = extent { taps?.randomElement(using: &$0) ?? Int.random(in: 1...7, using: &$0) }
    if rank == 3 { filter.d = min(filter.d, 3) }
    let input = extent { Int.random(in: 1...(rank == 3 ? 9 : 23), using: &$0) }
    let stride = extent { strides && Bool.random(using: &$0) ? Int.random(in: 1...3, using: &$0) : 1 }
    let dilation = extent { Int.random(in: 0...3, using: &$0) == 0 ? Int.random(in: 2...3, using: &$0) : 1 }
    let before = extent(0) { Int.random(in: 0...3, using: &$0) }
    let after = extent(0) { Int.random(in: 0...3, using: &$0) }
    let problem = try? ConvProblem(
      spatialRank: rank, n: Int.random(in: 1...3, using: &generator),
      c: groups * Int.random(in: 1...9, using: &generator),
      k: groups * Int.random(in: 1...9, using: &generator), groups: groups, input: input, filter: filter,
      stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
    if let problem, problem.directFLOPs < 4e6 { return problem }
  }
}

/// A random problem that the engine must support.
func randomProblem(for backend: any ConvolutionBackend, seed: UInt64) -> ConvProblem {
  let entry = MinimumSupport.table.first { $0.backend == backend.name }
  return randomProblem(seed: seed, taps: entry?.taps, strides: entry?.strides ?? true)
}

/// The element types that the engine must support.
func elementTypes(of backend: any ConvolutionBackend) -> [ElementType] {
  MinimumSupport.table.first { $0.backend == backend.name }?.elementTypes ?? [.float32, .float64]
}

/// The elements of a tensor bit by bit.
func bits(_ tensor: Tensor) -> [UInt64] {
  switch tensor.elementType {
  case .float64: tensor.values(as: Double.self).map(\.bitPattern)
  default: tensor.values(as: Float.self).map { UInt64($0.bitPattern) }
  }
}
