import ConvCore
import ConvTestSupport
import Testing

@testable import ConvWinograd

/// What the core's lowerings give the engine beyond its own plans.
@Suite struct WinogradLoweringTests {
  @Test(
    "groups, dilation, strides, 1-D and 3-D are supported and right in all passes",
    arguments: [
      "conv2d:n2c6h11w9k8r3s3p1g2", "conv2d:n1c5h9w8k5r3s3p1g5", "conv2d:n2c3h13w12k4r3s3p2l2x2",
      "conv2d:n1c3h14w12k4r5s5p3l2x3", "conv2d:n2c3h12w13k4r3s3p1u2x2", "conv2d:n1c3h15w14k2r5s5p2u2x2",
      "conv2d:n1c4h12w12k6r3s3p2l2x2g2", "conv1d:n2c5w23k4s3p1", "conv1d:n1c4w30k3s5p4l2",
      "conv3d:n1c2d5h7w6k3t3r3s3p1", "conv3d:n1c2d6h9w8k3t5r5s5p2",
    ])
  func lowered(text: String) throws {
    let problem = try ConvProblem(parsing: text)
    let trial = RawTrial<Double>(problem, seed: 91)
    for pass in ConvPass.allCases {
      for format in MemoryFormat.allCases {
        let operation = ConvOperation(
          pass, problem, elementType: .float64, inputFormat: format, outputFormat: format)
        let support = WinogradBackend().support(for: operation)
        #expect(support.isSupported, "\(operation): \(support.reason ?? "")")
        guard support.isSupported else { continue }
        let error = relativeError(try trial.run(operation), trial.expected(pass))
        #expect(error < 1e-12, "\(operation) seed 91: error \(error)")
      }
    }
  }

  @Test("minimum support: 3×3 and 5×5 at stride 1, any groups and dilation, both element types")
  func minimumSupport() throws {
    for filter in [3, 5] {
      for (groups, dilation) in [(1, 1), (4, 1), (1, 2), (2, 3)] {
        let problem = try ConvProblem.conv2d(
          n: 2, c: 8, h: 17, w: 17, k: 8, r: filter, s: filter, padding: 2, dilation: dilation, groups: groups
        )
        for pass in ConvPass.allCases {
          for type in [ElementType.float32, .float64] {
            let operation = ConvOperation(pass, problem, elementType: type)
            let support = WinogradBackend().support(for: operation)
            #expect(support.isSupported, "\(operation): \(support.reason ?? "")")
          }
        }
      }
    }
  }
}
