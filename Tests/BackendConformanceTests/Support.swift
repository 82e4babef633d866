import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport

/// VBENCH_WIDE=1 multiplies the number of random problems.
let breadth = isWide ? 10 : 1

/// A random problem that the engine must support.
func randomProblem(for backend: any ConvolutionBackend, seed: UInt64) -> ConvProblem {
  let entry = MinimumSupport.table.first { $0.backend == backend.name }
  return RandomProblems(taps: entry?.taps, strides: entry?.strides ?? true).problem(seed: seed)
}

/// The element types that the engine must support.
func elementTypes(of backend: any ConvolutionBackend) -> [ElementType] {
  MinimumSupport.table.first { $0.backend == backend.name }?.elementTypes ?? [.float32, .float64]
}
