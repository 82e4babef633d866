import ConvCore

/// Which results of a pass are looked at: the product of `rows` (places) and `columns` (channels), so that work which
/// depends on the place alone is shared between channels.
///
/// | pass           | row                     | column        |
/// |----------------|-------------------------|---------------|
/// | forward        | image, output position  | k             |
/// | backwardData   | image, input position   | c             |
/// | backwardFilter | k, filter tap           | c in the group |
public struct SampleGrid: Sendable {
  /// A place: the first logical index of the result tensor and the spatial position.
  public struct Row: Hashable, Sendable {
    public var first: Int
    public var at: Extent
  }

  /// The pass whose result is sampled.
  public let pass: ConvPass
  /// The problem.
  public let problem: ConvProblem
  /// Places.
  public let rows: [Row]
  /// Second logical indices.
  public let columns: [Int]

  /// Number of samples.
  public var count: Int { rows.count * columns.count }

  /// Numbers of the samples, rows × columns.
  var indices: Range<Int> { 0..<count }

  /// Spatial extents of the result.
  public var extent: Extent { SampleGrid.extent(problem, pass) }

  static func extent(_ problem: ConvProblem, _ pass: ConvPass) -> Extent {
    switch pass {
    case .forward: problem.output
    case .backwardData: problem.input
    case .backwardFilter: problem.filter
    }
  }

  /// Extents of the result's first and second logical axis.
  static func outer(_ problem: ConvProblem, _ pass: ConvPass) -> (first: Int, second: Int) {
    switch pass {
    case .forward: (problem.n, problem.k)
    case .backwardData: (problem.n, problem.c)
    case .backwardFilter: (problem.k, problem.cPerGroup)
    }
  }

  /// Index of a sample in the result tensor in logical order.
  public func index(_ row: Row, _ column: Int) -> Int {
    let e = extent
    let plane = (row.at.d * e.h + row.at.h) * e.w + row.at.w
    return (row.first * SampleGrid.outer(problem, pass).second + column) * e.count + plane
  }

  /// Every result.
  public static func all(_ problem: ConvProblem, _ pass: ConvPass) -> SampleGrid {
    let (first, second) = outer(problem, pass)
    let extent = extent(problem, pass)
    let rows = (0..<first).flatMap { i in positions(extent).map { Row(first: i, at: $0) } }
    return SampleGrid(pass: pass, problem: problem, rows: rows, columns: Array(0..<second))
  }

  /// At least `atLeast` results (or all of them where there are fewer), stratified: the corners, the borders of tiles of
  /// common sizes, the last image and channel, the tails of vectors, and random places.
  ///
  /// Deterministic in `seed`.
  public static func stratified(
    _ problem: ConvProblem, _ pass: ConvPass, atLeast: Int? = nil, seed: UInt64
  ) -> SampleGrid {
    let wanted = atLeast ?? (pass == .backwardFilter ? 256 : 4096)
    let (first, second) = outer(problem, pass)
    let extent = extent(problem, pass)
    if first * second * extent.count <= wanted { return all(problem, pass) }
    var random = PhiloxGenerator(seed: seed, stream: 0x5A3D)

    let columns = stratifiedIndices(second, count: pass == .backwardFilter ? 8 : 16, using: &random)
    let rowsWanted = (wanted + columns.count - 1) / columns.count
    let allRows = first * extent.count
    if rowsWanted >= allRows {
      return SampleGrid(
        pass: pass, problem: problem, rows: all(problem, pass).rows, columns: columns)
    }
    if pass == .backwardFilter {
      // Whole filters where they are small: transforms of x and dy are shared by all taps.
      let taps = extent.count <= 36 ? positions(extent) : places(extent, count: 36, using: &random)
      let ks = stratifiedIndices(
        first, count: max(4, (rowsWanted + taps.count - 1) / taps.count), using: &random)
      let rows = ks.flatMap { k in taps.map { Row(first: k, at: $0) } }
      return SampleGrid(pass: pass, problem: problem, rows: rows, columns: columns)
    }
    var seen = Set<Row>()
    var rows: [Row] = []
    func add(_ row: Row) {
      if seen.insert(row).inserted { rows.append(row) }
    }
    for (i, place) in places(extent, count: rowsWanted / 2, using: &random).enumerated() {
      let images = [0, first - 1, Int.random(in: 0..<first, using: &random)]
      add(Row(first: images[i % 3], at: place))
    }
    while rows.count < rowsWanted {
      add(
        Row(
          first: Int.random(in: 0..<first, using: &random),
          at: Extent(
            d: Int.random(in: 0..<extent.d, using: &random), h: Int.random(in: 0..<extent.h, using: &random),
            w: Int.random(in: 0..<extent.w, using: &random))))
    }
    return SampleGrid(pass: pass, problem: problem, rows: rows, columns: columns)
  }

  /// All positions of an extent, row-major.
  static func positions(_ extent: Extent) -> [Extent] {
    var result: [Extent] = []
    for d in 0..<extent.d {
      for h in 0..<extent.h {
        for w in 0..<extent.w { result.append(Extent(d: d, h: h, w: w)) }
      }
    }
    return result
  }

  /// Corners first, then crossings of tile borders, then random places on the edges; no more than `count`.
  private static func places(
    _ extent: Extent, count: Int, using random: inout PhiloxGenerator
  ) -> [Extent] {
    var seen = Set<Extent>()
    var result: [Extent] = []
    func add(_ d: Int, _ h: Int, _ w: Int) {
      let place = Extent(d: d, h: h, w: w)
      guard result.count < count, d < extent.d, h < extent.h, w < extent.w, seen.insert(place).inserted
      else { return }
      result.append(place)
    }
    let depths = Array(Set([0, extent.d - 1])).sorted()
    for d in depths {
      for h in [0, extent.h - 1] {
        for w in [0, extent.w - 1] { add(d, h, w) }
      }
    }
    // Tiles of 2, 4, 6, 8, 14, 16, 26 and 32 outputs begin at their multiples; the element before is a border too.
    let borders = [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 25, 26, 27, 28, 31, 32, 33]
    for border in borders {
      let other = borders[Int.random(in: 0..<borders.count, using: &random)]
      add(depths[depths.count - 1], border, other)
      add(0, other, border)
      add(0, max(0, extent.h - 1 - border), max(0, extent.w - 1 - other))
    }
    var attempts = 0
    while result.count < count && attempts < 4 * count {
      attempts += 1
      let d = Int.random(in: 0..<extent.d, using: &random)
      let h = Int.random(in: 0..<extent.h, using: &random)
      let w = Int.random(in: 0..<extent.w, using: &random)
      switch attempts % 4 {
      case 0: add(d, 0, w)
      case 1: add(d, extent.h - 1, w)
      case 2: add(d, h, 0)
      default: add(d, h, extent.w - 1)
      }
    }
    return result
  }

  /// The first, the last, those at the tails of 4-, 8-, 16- and 64-wide vectors, and random ones.
  private static func stratifiedIndices(
    _ extent: Int, count: Int, using random: inout PhiloxGenerator
  ) -> [Int] {
    if extent <= count { return Array(0..<extent) }
    var chosen: Set<Int> = [0, extent - 1]
    for width in [64, 16, 8, 4] where chosen.count < count / 2 {
      // The first element of the last, possibly incomplete, vector, and the one before.
      let tail = (extent - 1) / width * width
      chosen.insert(tail)
      if chosen.count < count / 2 && tail > 0 { chosen.insert(tail - 1) }
    }
    while chosen.count < count { chosen.insert(Int.random(in: 0..<extent, using: &random)) }
    return chosen.sorted()
  }
}
