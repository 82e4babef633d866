import ConvBackends
import ConvCore
import Testing

/// Engines' variants with the widest bounds, and the κ that the stored levels have to reach.
enum WideVariants {
  /// F(6×6, 3×3), F(4×4, 5×5), and oneDNN's Winograd where the library is linked.
  static let named =
    ["winograd[tile=6x6]", "winograd[tile=4x4,points=1:2]", "winograd[tile=4x4]"]
    + (BackendRegistry.names.contains("onednn") ? ["onednn[algorithm=winograd]"] : [])

  /// Those that this machine has, and the others with what they lack.
  static let all = named.filter { absent[$0] == nil }
  static let absent: [String: String] = {
    let problem = "conv2d:n4c64h16w16k64r3s3p1"
    let reasons = named.map { text in
      do {
        let variant = try BackendRegistry.named(text)
        return variant.backend.support(
          for: ConvOperation(.forward, try ConvProblem(parsing: problem)),
          PlanOptions(variant: variant.variant)
        ).reason
      } catch {
        return "\(error)"
      }
    }
    return Dictionary(uniqueKeysWithValues: zip(named, reasons)).compactMapValues { $0 }
  }()

  /// The largest of any engine, variant, network and instruction set is that of F(6×6, 3×3) in mobilenet-v2, 71.
  static let largestKappa = 100.0

  /// Levels up to four times the largest κ, no more than four times apart, and twice where the κ of engines lie.
  static func expectReach(_ levels: [Int], _ name: String) {
    let sorted = levels.sorted()
    #expect(Double(sorted.last ?? 0) >= 4 * largestKappa && sorted.first == 1, "\(name): \(sorted)")
    for (lower, upper) in zip(sorted, sorted.dropFirst()) {
      #expect(upper <= (lower < 64 ? 2 : 4) * lower, "\(name): \(lower), \(upper)")
    }
  }
}

@Suite struct WideVariantTests {
  /// oneDNN takes its Winograd on some CPUs with AVX-512 only; the others are everywhere.
  @Test func whatIsMissingIsTheMachines() {
    for (variant, reason) in WideVariants.absent {
      #expect(variant.hasPrefix("onednn") && reason.contains("AVX-512"), "\(variant): \(reason)")
    }
    #expect(WideVariants.all.count >= 3)
  }

  @Test(
    .enabled(
      if: WideVariants.absent.isEmpty,
      "no test judges \(WideVariants.absent.map { "\($0), \($1)" }.joined(separator: "; "))"))
  func allAreJudged() { #expect(WideVariants.all == WideVariants.named) }
}
