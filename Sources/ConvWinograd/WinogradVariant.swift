import ConvCore

/// The choices that a plan has: output tile and interpolation points per axis.
struct WinogradVariant: Sendable {
  /// Of the forward direction, F(m, r): outputs per tile and taps.
  let vertical: TileAxis
  let horizontal: TileAxis

  /// `winograd[tile=4x4,points=5/8:3/2]`; points that differ per axis are written `1x5/8:3/2`, none as `-`.
  var text: String {
    let points = [vertical, horizontal].map { axis in
      // 0, a, −a, b, −b, …: the magnitudes are every other one.
      stride(from: 1, to: axis.points.count, by: 2).map { axis.points[$0].description }.joined(separator: ":")
    }
    let tile = "tile=\(vertical.m)x\(horizontal.m)"
    if points.allSatisfy(\.isEmpty) { return "winograd[\(tile)]" }
    let differ = points[0] != points[1] && !points[0].isEmpty && !points[1].isEmpty
    let shown =
      differ ? points.joined(separator: "x") : points[0].isEmpty ? points[1] : points[0]
    return "winograd[\(tile),points=\(shown)]"
  }

  /// Most outputs of a tile, and longest tile, that are offered: beyond, errors grow past any use.
  static let largestTile = 6
  static let longestWindow = 8
  /// Filter extents that are offered.
  static let taps = 1...5

  /// Why a variant cannot be had, for `Support.unsupported`.
  struct Refusal: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  /// What a variant text asks for, per axis (vertical, horizontal); nil leaves it to the engine.
  private struct Request {
    var tile: [Int]?
    var magnitudes: [[Rational]]?
  }

  private static let known = "tile=2x2, tile=4x4, tile=6x6 (any tile=AxB of 1 to 6), points=5/8:3/2"

  /// The variant for an operation: what the options ask for, else the engine's choice by filter, extent and `maxError`.
  ///
  /// - Throws: `Refusal`.
  static func choose(_ operation: ConvOperation, _ options: PlanOptions) throws -> WinogradVariant {
    let problem = operation.problem
    let request = try options.variant.map(parse) ?? Request()
    let taps = [problem.filter.h, problem.filter.w]
    let extents =
      operation.pass == .backwardData
      ? [problem.input.h, problem.input.w] : [problem.output.h, problem.output.w]
    let depth = operation.pass == .backwardData ? problem.kPerGroup : problem.cPerGroup
    let wanted =
      operation.pass == .backwardFilter
      ? zip(taps, extents).map { defaultTile(taps: $0, extent: $1) }
      : cheapestTile(taps: taps, extents: extents, problem)
    var candidates = [request.tile ?? wanted]
    if request.tile == nil && wanted.contains(where: { $0 > 2 }) {
      candidates.append(wanted.map { min($0, 2) })
    }
    var smallest = Double.infinity
    for tile in candidates {
      let axes = try (0..<2).map { axis in
        try make(m: tile[axis], r: taps[axis], axis: axis, request.magnitudes)
      }
      let variant = WinogradVariant(vertical: axes[0], horizontal: axes[1])
      guard let maxError = options.maxError else { return variant }
      let estimate = variant.errorEstimate(operation.pass, depth: depth, operation.elementType)
      if estimate <= maxError { return variant }
      smallest = min(smallest, estimate)
    }
    throw Refusal(
      "an error of at most \(options.maxError ?? 0) relative to the result's rms was asked for, "
        + "the most accurate tile reaches about \(smallest)")
  }

  /// F(4, 3), F(3, 2), F(3, 4), F(2, 5); smaller where the image is.
  private static func defaultTile(taps: Int, extent: Int) -> Int {
    let m = [1: 1, 2: 3, 3: 4, 4: 3, 5: 2][taps] ?? 1
    return extent <= 2 ? min(m, 2) : m
  }

  /// The default tile or, where tiles are few and the transformed filter costs more than its products, one of 2 × 2.
  ///
  /// Costs are in FLOPs of a product per pair of channels: with t tiles of p planes the products take 2·p·t (rows in
  /// sixes, as the kernel computes them), the filter transform about 14·p, being bound by its stores, and the
  /// transforms of tiles about 20·p·t of each channel. The choice depends on shapes alone, so that fresh and prepared
  /// filters give the same bits.
  private static func cheapestTile(taps: [Int], extents: [Int], _ problem: ConvProblem) -> [Int] {
    let standard = zip(taps, extents).map { defaultTile(taps: $0, extent: $1) }
    let small = standard.map { min($0, 2) }
    func cost(_ tile: [Int]) -> Double {
      let planes = Double((tile[0] + taps[0] - 1) * (tile[1] + taps[1] - 1))
      let tiles = zip(extents, tile).reduce(problem.n) { $0 * (($1.0 + $1.1 - 1) / $1.1) }
      let channels = 1 / Double(problem.cPerGroup) + 1 / Double(problem.kPerGroup)
      return planes * (2 * Double((tiles + 5) / 6 * 6) + 14 + 20 * Double(tiles) * channels)
    }
    return cost(small) < cost(standard) ? small : standard
  }

  private static func make(
    m: Int, r: Int, axis: Int, _ magnitudes: [[Rational]]?
  ) throws -> TileAxis {
    // One tap needs no transform: a longer tile would only waste work at the border.
    if r == 1 { return try exact(m: 1, r: 1, []) }
    let tile = m + r - 1
    guard tile <= longestWindow else {
      throw Refusal(
        "F(\(m), \(r)) needs \(tile) points, at most \(longestWindow) keep the error bearable; known: \(known)"
      )
    }
    guard let magnitudes else { return try exact(m: m, r: r, ToomCook.defaultMagnitudes(tile: tile)) }
    let given = magnitudes[min(axis, magnitudes.count - 1)]
    let needed = ToomCook.magnitudeCount(m: m, r: r)
    guard given.count == needed else {
      throw Refusal(
        "F(\(m), \(r)) takes \(needed) point magnitudes beside 0 and infinity, \(given.count) were given")
    }
    return try exact(m: m, r: r, given)
  }

  private static func exact(m: Int, r: Int, _ magnitudes: [Rational]) throws -> TileAxis {
    do {
      return try TileAxis.cached(m: m, r: r, magnitudes: magnitudes)
    } catch {
      let text = magnitudes.map(\.description).joined(separator: ":")
      throw Refusal("points=\(text) give no F(\(m), \(r)): they coincide or are too large")
    }
  }

  /// Reads `winograd[tile=4x4,points=5/8:3/2]` or what stands in its brackets.
  private static func parse(_ text: String) throws -> Request {
    var body = text[...]
    if body.hasPrefix("winograd[") && body.hasSuffix("]") { body = body.dropFirst(9).dropLast() }
    if body == "winograd" { return Request() }
    var request = Request()
    for item in body.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: "=", maxSplits: 1)
      switch (parts.first, parts.count) {
      case ("tile", 2):
        let sizes = parts[1].split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard sizes.count == 2, sizes.allSatisfy({ (1...largestTile).contains($0) }) else {
          throw Refusal("'\(item)' is no tile; known: \(known)")
        }
        request.tile = sizes
      case ("points", 2):
        let axes = parts[1].split(separator: "x", omittingEmptySubsequences: false)
        guard (1...2).contains(axes.count) else { throw Refusal("'\(item)' names more than two axes") }
        request.magnitudes = try axes.map { axis in
          try axis.split(separator: ":", omittingEmptySubsequences: false).map { try magnitude($0, in: item) }
        }
      default:
        throw Refusal("unknown variant '\(text)'; known: \(known)")
      }
    }
    return request
  }

  private static func magnitude(_ text: Substring, in item: Substring) throws -> Rational {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int128($0) ?? 0 }
    guard (1...2).contains(parts.count), parts.allSatisfy({ (1...64).contains($0) }),
      let value = try? Rational(parts[0], over: parts.count == 2 ? parts[1] : 1)
    else {
      throw Refusal("'\(text)' in '\(item)' is no fraction of numbers from 1 to 64")
    }
    return value
  }

  /// Rough size of the largest error relative to the result's rms, for independent operands of one scale.
  ///
  /// Along one axis an element of plane f has scale ‖Bᵀ_f‖·‖G_f‖ and counts Aᵀ_if times in output i; roundings of one
  /// unit each are taken as independent, the largest of many errors as five standard deviations.
  func errorEstimate(_ pass: ConvPass, depth: Int, _ elementType: ElementType) -> Double {
    func amplification(_ axis: TileAxis) -> Double {
      let t = axis.transform
      var worst = 0.0
      for i in 0..<t.m {
        var sum = 0.0
        for f in 0..<t.tile {
          let b = t.bt[f * t.tile..<(f + 1) * t.tile].reduce(0) { $0 + $1 * $1 }
          let g = t.g[f * t.r..<(f + 1) * t.r].reduce(0) { $0 + $1 * $1 }
          sum += t.at[i * t.tile + f] * t.at[i * t.tile + f] * b * g
        }
        worst = max(worst, sum)
      }
      return (worst / Double(t.r)).squareRoot()
    }
    // Two transforms, and the running sum: its error grows with the square root of its depth, slowly.
    let roundings = 2 + Double(depth).squareRoot() / 8
    return 5 * elementType.unitRoundoff * roundings * amplification(vertical) * amplification(horizontal)
  }
}
