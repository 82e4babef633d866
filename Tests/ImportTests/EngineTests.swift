// An engine alone.
import ConvFFT
import Testing

@Suite struct EngineImportTests {
  /// Problem, operation, tensors and the protocol come with an engine.
  @Test func convolution() throws {
    let backend: any ConvolutionBackend = .fft
    let problem = try ConvProblem(parsing: "conv2d:n1c1h4w4k1r3s3p1")
    let plan = try backend.plan(for: ConvOperation(.forward, problem))
    let output = try plan.forward(
      input: Tensor.full([1, 1, 4, 4], 1 as Float), filter: Tensor.full([1, 1, 3, 3], 1 as Float)
    ).output
    // Inside of the image all nine taps meet a one, in a corner four.
    let values = output.values(as: Float.self)
    #expect(abs(values[5] - 9) < 1e-4 && abs(values[0] - 4) < 1e-4, "\(output)")
  }
}
