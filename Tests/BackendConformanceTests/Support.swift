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

/// A random problem that the engine must support.
func randomProblem(for backend: any ConvolutionBackend, seed: UInt64) -> ConvProblem {
  let entry = MinimumSupport.table.first { $0.backend == backend.name }
  return RandomProblems(taps: entry?.taps, strides: entry?.strides ?? true).problem(seed: seed)
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
