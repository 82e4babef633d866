import ConvBackends
import ConvCore
import ConvHarness
import Testing

/// Engines' variants with the widest bounds, and the κ that the stored levels have to reach.
enum WideVariants {
  /// F(6×6, 3×3), F(4×4, 5×5), and oneDNN's Winograd where the library and the CPU have it.
  static let all =
    ["winograd[tile=6x6]", "winograd[tile=4x4,points=1:2]", "winograd[tile=4x4]"]
    + (BackendRegistry.names.contains("onednn") ? ["onednn[algorithm=winograd]"] : [])

  /// The largest of any engine, variant, network and instruction set is that of F(6×6, 3×3) in mobilenet-v2, 71.
  static let largestKappa = 100.0

  /// Whether this machine has the variant.
  static func exists(_ variant: BackendRegistry.Selection) throws -> Bool {
    let problem = try ConvProblem(parsing: "conv2d:n4c64h16w16k64r3s3p1")
    let support = variant.backend.support(
      for: ConvOperation(.forward, problem), PlanOptions(variant: variant.variant))
    if let reason = support.reason { #expect(reason.contains("AVX-512"), "\(variant): \(reason)") }
    return support.isSupported
  }

  /// Levels up to four times the largest κ, no more than four times apart, and twice where the κ of engines lie.
  static func expectReach(_ levels: [Int], _ name: String) {
    let sorted = levels.sorted()
    #expect(Double(sorted.last ?? 0) >= 4 * largestKappa && sorted.first == 1, "\(name): \(sorted)")
    for (lower, upper) in zip(sorted, sorted.dropFirst()) {
      #expect(upper <= (lower < 64 ? 2 : 4) * lower, "\(name): \(lower), \(upper)")
    }
  }
}
