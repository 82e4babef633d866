import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Testing

/// NaN and infinities stay within the results whose sums they are in, in all plans that add up products as they are.
///
/// `ConvPlan` has the rule. Which results must be reached, and which may be because of the padding, comes from index arithmetic alone.
@Suite struct NonFiniteTests {
  static let engines =
    ["naive", "im2col[gemm=kernel]", "im2col[gemm=openblas]", "direct"]
    + (BackendRegistry.names.contains("onednn") ? ["onednn"] : [])

  static let problems = [
    // Few results per pixel: blocks of neighbours.
    "conv2d:n2c2h6w12k3r3s3p1", "conv2d:n1c4h5w13k1r5s3p2,2,1,1", "conv2d:n1c3h7w14k5r3s3p0,1,2,0u2x2",
    "conv2d:n1c2h9w11k2r2s2u3x3p1",
    // Vectors of channels, strips, tails; pixels that no window reads.
    "conv2d:n1c17h6w7k33r3s3p1", "conv2d:n1c9h9w8k16r5s5p2u2x1", "conv2d:n2c5h4w6k7r1s1",
    "conv2d:n1c5h7w6k4r1s1u2x2p1",
    // Dilations, with strides that share a divisor and such that do not.
    "conv2d:n1c3h9w10k4r3s3p2l2x2", "conv2d:n1c2h11w9k3r3s3p3l3x2u2x2", "conv2d:n1c4h9w12k2r3s2p2l2x4u2x2",
    // Groups, depthwise with one and several filters per channel.
    "conv2d:n1c6h6w9k9r3s3p1g3", "conv2d:n2c9h6w10k9r3s3p1g9", "conv2d:n1c4h7w9k8r3s5p1,1,2,2u2x2g4",
    "conv2d:n1c33h5w6k33r5s5p2l2x1g33",
    // 1-D and 3-D.
    "conv1d:n2c3w21k4s5p2u2", "conv1d:n1c2w19k2s3p2l2", "conv3d:n1c2d4h5w6k3t3r3s3p1",
    "conv3d:n1c4d5h4w7k4t2r3s3p1u2x1x2g2",
  ]

  private enum Operand: CaseIterable { case input, filter, output }

  /// An element, in logical order.
  private struct Element {
    var first, second: Int
    var at: Extent
  }

  /// What an element does to every result of a pass, in logical order.
  private struct Reach {
    /// The other factor's index of the term that the element is in; nil where it is in none.
    var factors: [Int?]
    /// Whether it meets a zero of the padding there.
    var isPadded: [Bool]
  }

  private static func index(_ extent: Extent, _ channels: Int, _ element: Element) -> Int {
    let at = element.at
    return (element.first * channels + element.second) * extent.count
      + (at.d * extent.h + at.h) * extent.w + at.w
  }

  private static func positions(_ extent: Extent) -> [Extent] {
    (0..<extent.count).map {
      Extent(d: $0 / (extent.h * extent.w), h: $0 / extent.w % extent.h, w: $0 % extent.w)
    }
  }

  /// All terms x[n, c, p·u + r·l − pad] · w[k, c, r] of y[n, k, p], those in the padding of x too; for backwardData also those whose
  /// p lies beside dy.
  private static func reach(
    _ problem: ConvProblem, _ pass: ConvPass, _ operand: Operand, _ element: Element
  ) -> Reach {
    let count = problem.resultShape(pass).reduce(1, *)
    var reach = Reach(
      factors: Array(repeating: nil, count: count), isPadded: .init(repeating: false, count: count))
    let (c, k) = (problem.cPerGroup, problem.kPerGroup)
    func x(_ n: Int, _ channel: Int, _ at: Extent) -> Int {
      index(problem.input, problem.c, Element(first: n, second: channel, at: at))
    }
    func w(_ filter: Int, _ channel: Int, _ tap: Extent) -> Int {
      index(problem.filter, c, Element(first: filter, second: channel, at: tap))
    }
    func y(_ n: Int, _ filter: Int, _ at: Extent) -> Int {
      index(problem.output, problem.k, Element(first: n, second: filter, at: at))
    }
    func isInside(_ at: Extent, _ extent: Extent) -> Bool {
      (0..<3).allSatisfy { (0..<extent[$0]).contains(at[$0]) }
    }
    // Only the loops that the element leaves open: n, k, c in the group, tap, p.
    let images = operand == .filter ? 0..<problem.n : element.first..<element.first + 1
    let group = operand == .input ? element.second / c : 0
    let filters =
      operand == .input
      ? Array(group * k..<(group + 1) * k) : [operand == .filter ? element.first : element.second]
    let channels =
      operand == .output ? Array(0..<c) : [operand == .filter ? element.second : element.second % c]
    for n in images {
      for filter in filters {
        for own in channels {
          let channel = filter / k * c + own
          for tap in operand == .filter ? [element.at] : positions(problem.filter) {
            for p in operand == .output ? [element.at] : positions(problem.output) {
              var at = p
              for axis in 0..<3 {
                at[axis] =
                  p[axis] * problem.stride[axis] + tap[axis] * problem.dilation[axis]
                  - problem.padding.before[axis]
              }
              let inside = isInside(at, problem.input)
              if operand == .input && at != element.at { continue }
              switch pass {
              case .forward:
                let result = y(n, filter, p)
                if inside {
                  reach.factors[result] = operand == .input ? w(filter, own, tap) : x(n, channel, at)
                } else {
                  reach.isPadded[result] = true
                }
              case .backwardData where inside:
                reach.factors[x(n, channel, at)] =
                  operand == .output ? w(filter, own, tap) : y(n, filter, p)
              case .backwardFilter:
                let result = w(filter, own, tap)
                if inside {
                  reach.factors[result] = operand == .input ? y(n, filter, p) : x(n, channel, at)
                } else {
                  reach.isPadded[result] = true
                }
              default: break
              }
            }
            guard pass == .backwardData, operand == .filter else { continue }
            for at in positions(problem.input) {
              var p = at
              let isOnGrid = (0..<3).allSatisfy { axis in
                let distance =
                  at[axis] + problem.padding.before[axis] - tap[axis] * problem.dilation[axis]
                p[axis] = distance / problem.stride[axis]
                if distance < 0 { p[axis] = -1 }
                return distance % problem.stride[axis] == 0
              }
              if isOnGrid && !isInside(p, problem.output) { reach.isPadded[x(n, channel, at)] = true }
            }
          }
        }
      }
    }
    return reach
  }

  /// The first, the last and two elements between, in other images and channels.
  private static func elements(_ first: Int, _ second: Int, _ extent: Extent) -> [Element] {
    let all = positions(extent)
    return [
      Element(first: 0, second: 0, at: all[0]),
      Element(first: first - 1, second: second - 1, at: all[all.count - 1]),
      Element(first: first / 2, second: second / 2, at: all[all.count / 2]),
      Element(first: 0, second: second / 3, at: all[all.count / 3]),
    ]
  }

  @Test(arguments: engines, ConvPass.allCases)
  func nothingElseIsReached(_ engine: String, _ pass: ConvPass) throws {
    let named = try BackendRegistry.named(engine)
    let options = PlanOptions(threads: 2, variant: named.variant)
    var checked = 0
    for text in Self.problems {
      let problem = try ConvProblem(parsing: text)
      var clean = RawTrial<Float>(problem, seed: 41, integers: true)
      // Without zeros every infinity gives one.
      func full(_ values: [Float]) -> [Float] { values.map { $0 == 0 ? 2 : $0 } }
      (clean.x, clean.w, clean.dy) = (full(clean.x), full(clean.w), full(clean.dy))
      for format in MemoryFormat.allCases {
        let operation = ConvOperation(
          pass, problem, inputFormat: format, outputFormat: format, filterFormat: format)
        if named.backend.support(for: operation, options).reason != nil { continue }
        let plan = try named.backend.plan(for: operation, options)
        guard case .summation = plan.errorModel else { continue }
        checked += 1
        let expected = try clean.run(plan)
        for operand in Operand.allCases {
          let elements: [Element]
          switch (operand, pass) {
          case (.input, .forward), (.input, .backwardFilter):
            elements = Self.elements(problem.n, problem.c, problem.input)
          case (.filter, .forward), (.filter, .backwardData):
            elements = Self.elements(problem.k, problem.cPerGroup, problem.filter)
          case (.output, .backwardData), (.output, .backwardFilter):
            elements = Self.elements(problem.n, problem.k, problem.output)
          default: continue
          }
          for element in elements {
            let reach = Self.reach(problem, pass, operand, element)
            for stray in [Float.nan, .infinity, -.infinity] {
              var spoilt = clean
              let others: [Float]
              switch operand {
              case .input:
                spoilt.x[Self.index(problem.input, problem.c, element)] = stray
                others = pass == .forward ? clean.w : clean.dy
              case .filter:
                spoilt.w[Self.index(problem.filter, problem.cPerGroup, element)] = stray
                others = pass == .forward ? clean.x : clean.dy
              case .output:
                spoilt.dy[Self.index(problem.output, problem.k, element)] = stray
                others = pass == .backwardData ? clean.w : clean.x
              }
              let found = try spoilt.run(plan)
              if let wrong = Self.difference(found, expected, reach, others, stray) {
                Issue.record(
                  "\(engine) (\(plan.executedBy)) \(operation), \(stray) in \(operand) at \(element): \(wrong)"
                )
              }
            }
          }
        }
      }
    }
    #expect(checked >= Self.problems.count, "\(engine) sums products as they are in \(checked) cases only")
  }

  private static func difference(
    _ found: [Float], _ expected: [Float], _ reach: Reach, _ others: [Float], _ stray: Float
  ) -> String? {
    for i in found.indices {
      if let factor = reach.factors[i] {
        // A term of NaN in the same sum, from the padding, makes NaN of an infinity.
        let right = stray * others[factor]
        let isRight = found[i] == right || found[i].isNaN && (right.isNaN || reach.isPadded[i])
        if !isRight { return "result \(i) reads it and is \(found[i])" }
      } else if found[i] != expected[i] && !(reach.isPadded[i] && found[i].isNaN) {
        return "result \(i) does not read it and is \(found[i])"
      }
    }
    return nil
  }
}
