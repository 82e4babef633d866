import Testing

@testable import ConvONNX

/// Windows along one axis.
@Suite struct WindowTests {
  /// Poolings that round up, as ONNX Runtime 1.32 carries them out (the onnx package's inference counts windows that lie in the padding
  /// alone, which no implementation computes).
  @Test(arguments: [
    (6, 2, 3, 0, 0, 2), (6, 2, 3, 1, 0, 3), (7, 3, 4, 0, 0, 2), (9, 3, 3, 1, 1, 4), (5, 2, 2, 0, 0, 3),
  ])
  func lastWindowsBeginInTheImage(size: Int, taps: Int, stride: Int, before: Int, after: Int, outputs: Int)
    throws
  {
    let window = WindowAxis(taps: taps, stride: stride, dilation: 1, before: before, after: after)
    #expect(try window.outputs(size, roundsUp: true) == outputs)
  }

  @Test func theOddPaddingGoesToItsSide() {
    var window = WindowAxis(taps: 4, stride: 1, dilation: 1, before: 9, after: 9)
    window.setPadding(total: 3, largerFirst: false)
    #expect(window.before == 1 && window.after == 2)
    window.setPadding(total: 3, largerFirst: true)
    #expect(window.before == 2 && window.after == 1)
    #expect(throws: InferenceStop.self) { try window.outputs(0) }
  }
}
