import ConvCore

/// Random small problems of every kind: one to three dimensions, groups, strides, dilations, padding that differs by side.
public struct RandomProblems: Sendable, Hashable {
  /// Taps per axis that are drawn from, for engines that need it; nil is 1 to 7.
  public var taps: [Int]?
  /// Whether strides above 1 are drawn.
  public var strides: Bool
  /// Upper limit of the direct algorithm's FLOPs.
  public var largestFLOPs: Double

  /// Problems within what an engine has to support.
  public init(taps: [Int]? = nil, strides: Bool = true, largestFLOPs: Double = 4e6) {
    self.taps = taps
    self.strides = strides
    self.largestFLOPs = largestFLOPs
  }

  /// A function of the seed alone.
  public func problem(seed: UInt64) -> ConvProblem {
    var generator = PhiloxGenerator(seed: seed)
    while true {
      let rank = [1, 2, 2, 2, 2, 3].randomElement(using: &generator)!
      let groups = [1, 1, 1, 2, 3].randomElement(using: &generator)!
      func extent(_ unused: Int = 1, _ choose: (inout PhiloxGenerator) -> Int) -> Extent {
        var extent = Extent(d: unused, h: unused, w: unused)
        for axis in (3 - rank)..<3 { extent[axis] = choose(&generator) }
        return extent
      }
      var filter = extent { taps?.randomElement(using: &$0) ?? Int.random(in: 1...7, using: &$0) }
      if rank == 3 { filter.d = min(filter.d, 3) }
      let input = extent { Int.random(in: 1...(rank == 3 ? 9 : 23), using: &$0) }
      let stride = extent { strides && Bool.random(using: &$0) ? Int.random(in: 1...3, using: &$0) : 1 }
      let dilation = extent {
        Int.random(in: 0...3, using: &$0) == 0 ? Int.random(in: 2...3, using: &$0) : 1
      }
      let before = extent(0) { Int.random(in: 0...3, using: &$0) }
      let after = extent(0) { Int.random(in: 0...3, using: &$0) }
      let problem = try? ConvProblem(
        spatialRank: rank, n: Int.random(in: 1...3, using: &generator),
        c: groups * Int.random(in: 1...9, using: &generator),
        k: groups * Int.random(in: 1...9, using: &generator), groups: groups, input: input, filter: filter,
        stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
      if let problem, problem.directFLOPs < largestFLOPs { return problem }
    }
  }
}
