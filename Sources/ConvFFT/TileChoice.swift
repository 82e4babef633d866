import ConvCore

/// A cost model for tile sizes, in nanoseconds of one core.
///
/// Its constants were measured with FFTW 3.3 (FFTW_ESTIMATE) and our matrix kernel on a core with AVX-512.
/// They only choose; they are the same on every machine, so that every machine computes the same way.
struct TileCost {
  let operation: ConvOperation
  let vertical: PhaseAxis
  let horizontal: PhaseAxis
  let freshFilter: Bool

  /// Lengths whose factors are 2, 3, 5 and 7, from the filter's span to the first that covers all results.
  static func candidates(_ axis: PhaseAxis, pass: ConvPass) -> [Int] {
    if axis.span == 1 && axis.usedResidues == 1 && axis.phases > 1 { return [1] }
    let results =
      pass == .backwardData
      ? axis.input / axis.step + axis.span : axis.outputs(0)
    let whole = smooth(atLeast: results + axis.span - 1)
    var lengths: [Int] = []
    var length = axis.span
    while length <= whole {
      let candidate = smooth(atLeast: length)
      if lengths.last != candidate { lengths.append(candidate) }
      // Finer steps among short tiles, where each sample counts.
      length = max(candidate + 1, candidate < 40 ? 0 : candidate + candidate / 8)
      if lengths.count >= 40 { break }
    }
    if lengths.last != whole && whole <= 4 * (lengths.last ?? whole) { lengths.append(whole) }
    return lengths
  }

  /// The least n' ≥ n with no prime factor above 7; n ≥ 1.
  static func smooth(atLeast n: Int) -> Int {
    // Of each product of 3, 5 and 7 below twice n the least power of two times it that is large enough: between neighbours may lie
    // millions of other numbers.
    var least = Int.max
    var sevens = 1
    while sevens < 2 * n {
      var fives = sevens
      while fives < 2 * n {
        var threes = fives
        while threes < 2 * n {
          var candidate = threes
          while candidate < n { candidate *= 2 }
          least = min(least, candidate)
          threes *= 3
        }
        fives *= 5
      }
      sevens *= 7
    }
    return least
  }

  /// Nanoseconds per sample of one axis of a fast transform of this length.
  ///
  /// FFTW_ESTIMATE is uneven: it has fast codelets for some lengths (32, 64, 80, 100, 144) and poor plans for their
  /// neighbours (18, 30, 96), so that the good lengths are listed as measured and the others priced as poor.
  static func lineCost(_ length: Int) -> Double {
    switch length {
    case 1: return 0.02
    case ...12: return 0.42
    case 32: return 0.65
    case 15, 16: return 0.65
    case 14, 20: return 0.75
    case 56, 64, 80, 144, 160, 200: return 0.95
    case 72, 84, 100, 192, 240: return 1.02
    case 25, 128, 112, 108, 150, 180: return 1.15
    case 28, 36, 42, 48, 54, 98, 120: return 1.3
    default:
      var bits = 0.0
      var n = length
      while n > 1 {
        bits += 1
        n /= 2
      }
      // Powers of two grow slowly; other lengths are rarely better than this.
      return length & (length - 1) == 0 ? 0.18 * bits : 2.1
    }
  }

  /// Multiply-adds count two; the matrix kernel's rate in FLOPs per nanosecond.
  static func kernelRate(_ elementType: ElementType) -> Double { elementType == .float64 ? 30 : 60 }

  /// Of one fast transform of a plane, gathering and storing its spectrum included.
  static func fastTransform(_ height: Int, _ width: Int, _ elementType: ElementType) -> Double {
    let samples = Double(height * width)
    let size = elementType == .float64 ? 1.6 : 1.0
    return samples * (lineCost(height) + lineCost(width) + 0.7) * size + 30
  }

  /// Of one transform of a plane by a dense matrix.
  static func denseTransform(samples: Int, bins: Int, parts: Int, _ elementType: ElementType) -> Double {
    let rate = 0.4 * kernelRate(elementType)
    return Double(2 * samples * bins * parts) / rate + Double(samples) * 0.7 + Double(bins * parts) * 0.3 + 10
  }

  /// Whether a dense matrix is the cheaper way, and small enough to stay in the caches.
  static func prefersDense(
    height: Int, width: Int, rows: Int, columns: Int, parts: Int, elementType: ElementType
  ) -> Bool {
    let (samples, bins) = (rows * columns, height * (width / 2 + 1))
    if height * width == 1 { return true }
    guard samples <= 40_000 / bins else { return false }
    return denseTransform(samples: samples, bins: bins, parts: parts, elementType)
      < fastTransform(height, width, elementType)
  }

  /// The parts of the cost of tiles of height × width.
  private struct Parts {
    /// Nanoseconds of all transforms, of tiles and of filters.
    var transforms = 0.0
    /// FLOPs of all products, and what of its best rate the kernel reaches.
    var products = 0.0
    var efficiency = 1.0
    /// Bytes of the operator's spectra.
    var operatorBytes = 0.0
  }

  private func parts(_ height: Int, _ width: Int) -> Parts {
    let problem = operation.problem
    let type = operation.elementType
    let bins = Double(height * (width / 2 + 1))
    let tiles = Double(
      problem.n * vertical.tileCount(length: height, pass: operation.pass)
        * horizontal.tileCount(length: width, pass: operation.pass))
    let groups = Double(problem.groups)
    let c = Double(problem.cPerGroup * vertical.phases * horizontal.phases)
    let k = Double(problem.kPerGroup)
    func transform(_ rows: Int, _ columns: Int, _ parts: Int) -> Double {
      let fast = Self.fastTransform(height, width, type)
      guard
        Self.prefersDense(
          height: height, width: width, rows: rows, columns: columns, parts: parts, elementType: type)
      else { return fast }
      return Self.denseTransform(
        samples: rows * columns, bins: height * (width / 2 + 1), parts: parts, type)
    }
    var parts = Parts()
    parts.transforms = tiles * groups * (c + k) * transform(height, width, 2)
    if freshFilter || operation.pass == .backwardFilter {
      parts.transforms += groups * c * k * transform(vertical.span, horizontal.span, 3)
    }
    let (rows, columns, depth) =
      switch operation.pass {
      case .forward: (tiles, k, 2 * c)
      case .backwardData: (tiles, c, 2 * k)
      case .backwardFilter: (c, k, 2 * tiles)
      }
    parts.efficiency = rows / (rows + 4) * columns / (columns + 8) * depth / (depth + 8)
    parts.products = groups * 8 * tiles * bins * c * k
    parts.operatorBytes = groups * bins * c * k * 2 * Double(type.byteCount)
    return parts
  }

  /// Estimated time of the operation with tiles of height × width.
  func estimate(_ height: Int, _ width: Int) -> Double {
    let parts = parts(height, width)
    let rate = Self.kernelRate(operation.elementType) * parts.efficiency
    // The operator is written and packed once per execution, whatever the tiles.
    return parts.transforms + parts.products / max(rate, 1) + parts.operatorBytes / 4
  }

  /// What a plan with tiles of height × width does.
  func work(_ height: Int, _ width: Int) -> ConvWork {
    let parts = parts(height, width)
    var work = ConvWork([.libraryTransforms: parts.transforms, .calls: 50])
    work[.products] = parts.products / parts.efficiency
    work.add(.spread, 3 * parts.operatorBytes, of: parts.operatorBytes)
    return work
  }

  /// The cheapest tile among those that `fits` accepts.
  func best(_ fits: (Int, Int) -> Bool) -> TileSize? {
    var best: TileSize?
    var least = Double.infinity
    let widths = Self.candidates(horizontal, pass: operation.pass)
    for height in Self.candidates(vertical, pass: operation.pass) {
      for width in widths {
        let cost = estimate(height, width)
        if cost < least, fits(height, width) {
          least = cost
          best = TileSize(height: height, width: width)
        }
      }
    }
    return best
  }
}
