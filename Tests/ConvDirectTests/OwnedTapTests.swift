import ConvCore
import ConvTestSupport
import Testing

@testable import ConvDirect

/// Blocks of neighbouring targets read the union of their windows: what is no number stays with the targets whose window it is in.
@Suite struct OwnedTapTests {
  /// Every target of a block reads its own taps, each at the offset where the formula has it.
  @Test(arguments: [(3, 1, 4), (3, 2, 2), (5, 1, 5), (2, 3, 3), (7, 2, 4), (1, 2, 4)])
  func ownersFollowFromTheWindows(_ taps: Int, _ stride: Int, _ block: Int) throws {
    let problem = try ConvProblem(parsing: "conv2d:n1c1h1w40k1r1s\(taps)u1x\(stride)p0,0,1,1")
    let axis = AxisShape(problem, 2)
    let forward = axis.phases(.forward, block: block)[0]
    for offset in 0..<forward.offsets {
      let readers = (0..<block).filter { (0..<taps).contains(offset - $0 * stride) }
      #expect(Array(forward.owners(offset)) == readers, "offset \(offset)")
    }
    let merged = (block + stride - 1) / stride * stride
    let backward = axis.phases(.backwardData, block: merged)[0]
    for offset in 0..<backward.offsets {
      // Target e of step 0 is dx[first + e]; dy[p] reaches it through tap first + e + padding - p · stride.
      let p = backward.sourceFirst + offset
      let readers = (0..<merged).filter {
        (0..<taps).contains(backward.targetFirst + $0 + axis.padding - p * stride)
      }
      #expect(Array(backward.owners(offset)) == readers, "offset \(offset)")
    }
  }

  static let blocks = [
    "n1c2h8w12k3r3s3p1", "n2c3h7w19k1r5s5p2", "n1c4h6w23k5r3s3p1u1x2", "n1c1h9w31k2r3s2p0,1,2,0u2x3",
    "n1c6h5w17k6r3s3p1g3", "n1c3h9w20k16r7s7p3u2x2", "n1c2h6w14k9r4s4p1u2x2",
  ]

  /// One pixel (or element of dy) that is no number, at every place of a row: exactly the results whose window it is in are
  /// spoilt, all others keep their bits.
  @Test(arguments: blocks, [ConvPass.forward, .backwardData])
  func strayElements(_ text: String, _ pass: ConvPass) throws {
    let problem = try ConvProblem(parsing: "conv2d:" + text)
    let clean = RawTrial<Float>(problem, seed: 31, integers: true)
    let isForward = pass == .forward
    let (source, target) = isForward ? (problem.input, problem.output) : (problem.output, problem.input)
    let channels = isForward ? problem.k : problem.c
    let perGroup = isForward ? problem.kPerGroup : problem.cPerGroup
    let sources = isForward ? problem.c : problem.k
    for format in MemoryFormat.allCases {
      let plan = try DirectBackend().plan(for: operation(pass, problem, format), PlanOptions(threads: 2))
      let expected = try clean.run(plan)
      for column in 0..<source.w {
        let (row, channel) = (column % source.h, column % sources)
        let index = (channel * source.h + row) * source.w + column
        for stray in [Float.nan, .infinity, -.infinity] {
          var spoilt = clean
          if isForward { spoilt.x[index] = stray } else { spoilt.dy[index] = stray }
          let found = try spoilt.run(plan)
          for i in found.indices {
            let (h, w) = (i / target.w % target.h, i % target.w)
            let (n, second) = (i / target.count / channels, i / target.count % channels)
            func meets(_ pixel: Int, _ result: Int, _ axis: Int) -> Bool {
              let (h, p) = isForward ? (pixel, result) : (result, pixel)
              let distance = h + problem.padding.before[axis] - p * problem.stride[axis]
              return distance % problem.dilation[axis] == 0
                && (0..<problem.filter[axis]).contains(distance / problem.dilation[axis]) && distance >= 0
            }
            let group = channel / (sources / problem.groups)
            let reads = n == 0 && second / perGroup == group && meets(row, h, 1) && meets(column, w, 2)
            let isRight = reads ? !found[i].isFinite : found[i] == expected[i]
            if !isRight {
              Issue.record("\(plan.operation), \(stray) at \(index): result \(i) is \(found[i])")
              return
            }
          }
        }
      }
    }
  }
}
