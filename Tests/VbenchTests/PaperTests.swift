import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `vbench paper`.
@Suite struct PaperTests {
  @Test func listsPublications() throws {
    let all = try CommandLineRunner.run(["paper"])
    #expect(all.status == 0, "\(all)")
    for words in ["convnet-benchmarks", "nnpack", "lavin-gray", "fbfft", "https://arxiv.org/abs/1412.7580"] {
      #expect(all.output.contains(words), "\(words): \(all)")
    }
    let nnpack = try CommandLineRunner.run(["paper", "nnpack", "--list"])
    #expect(nnpack.status == 0, "\(nnpack)")
    for words in [
      "conv2d:n64c256h56w56k256r3s3p1", "64x256x56x56", "1091", "Intel Core i7-6700K", "FFT 16x16",
      "github.com/Maratyszcza/NNPACK", "Notes",
    ] {
      #expect(nnpack.output.contains(words), "\(words): \(nnpack)")
    }
    let one = try CommandLineRunner.run([
      "paper", "nnpack", "--list", "--layers", "OverFeat:conv5", "--batch", "3",
    ])
    #expect(one.output.contains("conv2d:n3c1024h12w12k1024r3s3p1") && !one.output.contains("1091"), "\(one)")
    let help = try CommandLineRunner.run(["paper", "--help"])
    #expect(help.status == 0 && help.output.contains("vbench paper nnpack --list"), "\(help)")
  }

  @Test(arguments: [
    (["nnpakc"], "did you mean 'nnpack'?"), (["nnpack", "--layers", "AlexNet:conv9"], "AlexNet:conv2"),
    (["nnpack", "--layers", ","], "--layers"), (["nnpack", "--batch", "0"], "--batch"),
    (["nnpack", "--seconds", "0"], "--seconds"), (["nnpack", "--backends", "winogard"], "winograd"),
    (["nnpack", "--passes", "backwards"], "backward-data"), (["nnpack", "--threads", "0"], "--threads"),
  ]) func usageErrors(_ arguments: [String], _ words: String) throws {
    let outcome = try CommandLineRunner.run(["paper"] + arguments)
    #expect(outcome.status == 64 && outcome.output.isEmpty, "\(outcome)")
    #expect(outcome.error.contains(words), "\(outcome)")
  }

  /// One small layer with its published errors: verified in every build, timed in none that is for debugging.
  @Test func writesItsReport() throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run([
        "paper", "lavin-gray", "--layers", "conv5", "--backends", "im2col,winograd", "--seconds", "0.2",
        "--output", folder + "/out",
      ])
      #expect(outcome.status == 0, "\(outcome)")
      #expect(outcome.output.contains("The order of the errors holds in "), "\(outcome)")
      #expect(outcome.output.contains("winograd[tile=4x4,points=1:2]"), "\(outcome)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/out").sorted()
      #expect(files == ["orders.csv", "report.md", "results.csv"])
      let rows = try InputFile.text(of: folder + "/out/results.csv").split(separator: "\n")
      // Two engines, then those whose errors are published and our own choice of points for the larger tile.
      #expect(rows.count == 1 + 2 + 4, "\(rows)")
      #expect(rows.dropFirst().allSatisfy { $0.contains(",conv5,forward,") && $0.contains(",passed,") })
      let orders = try InputFile.text(of: folder + "/out/orders.csv").split(separator: "\n")
      #expect(orders.count == 2 && orders[1].hasPrefix("conv5,forward,winograd,direct or fft,"), "\(orders)")
      let text = try InputFile.text(of: folder + "/out/report.md")
      #expect(text.contains("| conv5 | im2col | direct | 3.43e-04 |"), "\(text)")
    }
  }
}
