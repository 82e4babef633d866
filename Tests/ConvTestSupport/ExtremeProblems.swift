import ConvCore

/// Problems of sizes that are uniform in their logarithm, up to the limits of what a problem may be: of one to three dimensions, with
/// groups, strides, dilations and paddings of any size.
public enum ExtremeProblems {
  /// A function of the seed alone.
  public static func problem(seed: UInt64) -> ConvProblem {
    var random = PhiloxGenerator(seed: seed, stream: 0xE87)
    while true {
      if let problem = try? draw(&random) { return problem }
    }
  }

  /// At the corners of the rule: each problem is at one limit, most at several.
  public static let corners = [
    "conv1d:n1c1w2147483647k1s1", "conv1d:n1c1w1k1s1p1073741823", "conv1d:n1c1w2147483647k1s2147483647",
    "conv1d:n1c1w2147483647k1s2048l1048576", "conv1d:n1c1w1048576k1s1048576p524288",
    "conv1d:n2147483647c1w1k1s1", "conv1d:n1c2147483647w1k2147483647s1g2147483647",
    "conv1d:n1c1w1k2147483647s1",
    "conv1d:n1c1048576w1k1048576s1", "conv2d:n1048576c1048576h1w1k1r1s1",
    "conv2d:n1c1h1048576w1048576k1r1s1", "conv2d:n1c1h1w1k1r1s1p16777215u1048576",
    "conv2d:n1c1h1048576w1048576k1r1048576s1048576", "conv2d:n1c1h1w1k1r1s1u1048576l1048576",
    "conv2d:n1c1h1048577w1048k1r2s1l1048576", "conv2d:n1c1h1048576w1048576k1r32768s32768u1048576",
    "conv2d:n1024c1024h1024w1024k1024r1s1", "conv2d:n1c1h1w2147483647k1r1s2147483647u1048576",
    "conv2d:n1c1h2147483647w1k1r1s1u1048576l1048576", "conv2d:n16c64h4096w4096k64r3s3p1g64",
    "conv3d:n1c1d8192h8192w8192k1t1r1s1u1048576l1048576",
    "conv3d:n1c1d8192h8192w8192k1t8192r8192s8192u1048576", "conv3d:n1c1d1h1w1k1t1r1s1p51999u1048576",
    "conv3d:n1c1d2147483647h1w1k1t1r1s1", "conv3d:n1c1d2147483647h1w1k1t2147483647r1s1",
    "conv3d:n1c1d1048576h1w1k1t524288r1s1", "conv3d:n1024c1d1h1024w1024k1t1r1s1p100u1048576",
  ]

  private static func draw(_ random: inout PhiloxGenerator) throws -> ConvProblem {
    let rank = Int.random(in: 1...3, using: &random)
    // Each size takes its share of the products that a problem may have, in a random order; a fifth of the sizes are 1.
    var left = 50.0
    func take() -> Int {
      if Int.random(in: 0..<5, using: &random) == 0 { return 1 }
      let bits = Double.random(in: 0...min(31, left), using: &random)
      left -= bits
      return max(1, Int(power(of: bits)))
    }
    func step() -> Int {
      Bool.random(using: &random) ? 1 : Int(power(of: Double.random(in: 0...20, using: &random)))
    }
    var sizes = [Int](repeating: 1, count: 4)
    var output = Extent(w: 1), filter = Extent(w: 1)
    for place in Array(0..<4 + 2 * rank).shuffled(using: &random) {
      if place < 4 {
        sizes[place] = take()
      } else if place < 4 + rank {
        output[3 - rank + place - 4] = take()
      } else {
        filter[3 - rank + place - 4 - rank] = take()
      }
    }
    var input = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
    var before = Extent(d: 0, h: 0, w: 0), after = before
    for axis in (3 - rank)..<3 {
      (stride[axis], dilation[axis]) = (step(), step())
      let rest = Int.random(in: 0..<stride[axis], using: &random)
      let padded = (output[axis] - 1) * stride[axis] + (filter[axis] - 1) * dilation[axis] + 1 + rest
      if Bool.random(using: &random) {
        before[axis] = Int.random(in: 0..<padded, using: &random)
        after[axis] = Int.random(in: 0..<padded - before[axis], using: &random)
      }
      input[axis] = padded - before[axis] - after[axis]
    }
    return try ConvProblem(
      spatialRank: rank, n: sizes[0], c: sizes[1] * sizes[3], k: sizes[2] * sizes[3], groups: sizes[3],
      input: input, filter: filter, stride: stride, padding: Padding(before: before, after: after),
      dilation: dilation)
  }

  /// 2^bits, linear between whole powers.
  private static func power(of bits: Double) -> Double {
    let whole = bits.rounded(.down)
    return Double(1 << Int(whole)) * (1 + bits - whole)
  }
}
