// The list of all engines, and the data sets, each alone.
import ConvBackends
import Testing

@Suite struct ListImportTests {
  /// All engines come with their list.
  @Test func engines() throws {
    let engines: [any ConvolutionBackend] = [.naive, .im2col, .winograd, .direct, .fft, .auto]
    #expect(engines.map(\.name) == ["naive", "im2col", "winograd", "direct", "fft", "auto"])
    #expect(try Tensor.zeros([2]).count == 2)
  }
}
