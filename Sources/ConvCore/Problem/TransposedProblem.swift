/// A transposed convolution as the backward-data pass of a convolution, with PyTorch's arguments.
///
/// Its output has (in − 1)·u − 2·pad + l·(taps − 1) + outputPadding + 1 rows per axis. Output padding below the stride vanishes
/// in the rounding of the convolution's own output, more of it takes the place of padding after the image; what is left beyond
/// that (with a dilation above the stride) are rows at the end that no window reaches: they are zero, and lie outside of
/// `mirrored`.
public struct TransposedProblem: Hashable, Sendable {
  /// The convolution whose backward-data pass gives the first rows (columns, …) of the output: its input is their extents, its
  /// output what is transposed. Nil where no window reaches any element of the output.
  public let mirrored: ConvProblem?
  /// Extents of the output.
  public let output: Extent
  /// Output channels of all groups together.
  public let channels: Int

  /// - Parameters:
  ///   - input: extents of what is transposed.
  ///   - outputPadding: rows at the end of the output; less than stride or dilation.
  /// - Throws: `ConvError.invalidProblem` with the numbers that do not fit.
  public init(
    spatialRank: Int, n: Int, inChannels: Int, outChannels: Int, groups: Int = 1, input: Extent,
    filter: Extent, stride: Extent = Extent(w: 1), padding: Extent = Extent(d: 0, h: 0, w: 0),
    outputPadding: Extent = Extent(d: 0, h: 0, w: 0), dilation: Extent = Extent(w: 1)
  ) throws {
    guard (1...3).contains(spatialRank) else {
      throw ConvError.invalidProblem("\(spatialRank) spatial dimensions, 1 to 3 are possible")
    }
    var (output, reached) = (Extent(w: 1), Extent(w: 1))
    var (before, after) = (Extent(d: 0, h: 0, w: 0), Extent(d: 0, h: 0, w: 0))
    for axis in (3 - spatialRank)..<3 {
      let (u, p, l, extra) = (stride[axis], padding[axis], dilation[axis], outputPadding[axis])
      guard u >= 1, l >= 1, filter[axis] >= 1, input[axis] >= 1, p >= 0 else {
        throw ConvError.invalidProblem(
          "a transposed convolution of \(input[axis]) elements with \(filter[axis]) taps, stride \(u), dilation \(l) "
            + "and padding \(p): at least 1, and 0 of padding, is needed")
      }
      guard extra >= 0, extra < max(u, l) else {
        throw ConvError.invalidProblem(
          "output padding \(extra) must be at least 0 and less than stride \(u) or dilation \(l)")
      }
      let (span, overflow) = (input[axis] - 1).multipliedReportingOverflow(by: u)
      let (reach, carry) = l.multipliedReportingOverflow(by: filter[axis] - 1)
      guard !overflow, !carry, max(span, reach, p, u, l) < 1 << 40 else {
        throw ConvError.invalidProblem(
          "a transposed convolution of \(input[axis]) with stride \(u), dilation \(l) and padding \(p) overflows"
        )
      }
      output[axis] = span - 2 * p + reach + extra + 1
      guard output[axis] >= 1 else {
        throw ConvError.invalidProblem(
          "a transposed convolution of \(input[axis]) elements with \(filter[axis]) taps, stride \(u), dilation \(l) "
            + "and padding \(p) would have \(output[axis]) elements: the output would be empty")
      }
      let free = p - max(0, extra - (u - 1))
      (before[axis], after[axis]) = (p, max(0, free))
      reached[axis] = output[axis] + min(0, free)
    }
    let (n, c, k) = (n, outChannels, inChannels)
    self.output = output
    channels = outChannels
    guard (0..<3).allSatisfy({ reached[$0] >= 1 }) else {
      // Channels and groups have to fit all the same.
      _ = try ConvProblem(
        spatialRank: spatialRank, n: n, c: c, k: k, groups: groups, input: output, filter: Extent(w: 1))
      mirrored = nil
      return
    }
    mirrored = try ConvProblem(
      spatialRank: spatialRank, n: n, c: c, k: k, groups: groups, input: reached, filter: filter,
      stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
  }
}
