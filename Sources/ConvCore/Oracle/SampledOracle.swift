/// The oracle of single results: their float64 values, and what is known of the rounding errors that any sum of the same terms may have.
///
/// All results of one place are computed together. Terms are added in two orders of the pass's own axes, channels (images) outermost and
/// channels innermost. Float64 operands are multiplied and added in double-double (T. J. Dekker: *A floating-point technique for
/// extending the available precision*, Numer. Math. 18, 1971; D. E. Knuth's two-sum), so that float64 engines have an oracle too.
public struct SampledOracle<Scalar: ConvScalar>: Sendable {
  /// What is known of one result with terms pⱼ = aⱼ·bⱼ and partial sums sⱼ.
  public struct Value: Sendable {
    /// y = Σ p.
    public var sum = 0.0
    /// Σ |p|.
    public var magnitude = 0.0
    /// Q = Σ p².
    public var squares = 0.0
    /// Σ sⱼ², the larger one of the two orders.
    public var path = 0.0
    /// What y would be with both operands rounded to 11 significand bits (TF32).
    public var coarse = 0.0
    /// The larger error of two plain sums in the operands' own type, products rounded too; 0 where none was asked for.
    public var control = 0.0

    /// Of no term.
    public init() {}
  }

  /// The problem and the pass.
  public let problem: ConvProblem
  public let pass: ConvPass
  /// Whether plain sums in the operands' type run beside the oracle.
  public let hasControl: Bool

  /// An oracle for one pass of `problem`.
  public init(_ problem: ConvProblem, _ pass: ConvPass, hasControl: Bool) {
    (self.problem, self.pass, self.hasControl) = (problem, pass, hasControl)
  }

  /// The results of all `columns` at a place.
  ///
  /// - Parameters:
  ///   - a, b: the operands of the pass in logical order: (x, w), (dy, w) or (x, dy).
  ///   - first, at: the first logical index of the result tensor and the spatial position.
  ///   - parts: sets of filter taps (for backwardFilter of output positions).
  /// - Returns: For each column its value, and what each part contributes to it.
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public func values(
    _ a: UnsafePointer<Scalar>, _ b: UnsafePointer<Scalar>, first: Int, at: Extent, columns: [Int],
    parts: [@Sendable (Extent) -> Bool] = []
  ) -> [(value: Value, parts: [Double])] {
    let terms = TermList(problem, pass, first: first, at: at)
    let (fixed, other) = pass == .backwardFilter ? (b, a) : (a, b)
    let members = parts.map { part in terms.places.indices.filter { part(terms.places[$0]) } }
    var result: [(value: Value, parts: [Double])] = []
    result.reserveCapacity(columns.count)
    for begin in stride(from: 0, to: columns.count, by: 4) {
      let lanes = min(4, columns.count - begin)
      // Lanes beyond the last column repeat it.
      let starts = (0..<4).map { terms.start(columns[begin + min($0, lanes - 1)]) }
      let sums = LaneSums<Scalar>(terms, fixed, other, starts)
      let values = sums.values(hasControl: hasControl)
      let contributions = members.map { sums.part($0) }
      for lane in 0..<lanes { result.append((values[lane], contributions.map { $0[lane] })) }
    }
    return result
  }
}

/// Four results at a time.
private struct LaneSums<T: ConvScalar> {
  typealias Lanes = SIMD4<Double>
  private let terms: TermList
  private let fixed: [UnsafePointer<T>]
  private let other: [UnsafePointer<T>]
  private let isShared: Bool

  init(
    _ terms: TermList, _ fixed: UnsafePointer<T>, _ other: UnsafePointer<T>,
    _ starts: [(fixed: Int, other: Int)]
  ) {
    self.terms = terms
    self.fixed = starts.map { fixed + $0.fixed }
    self.other = starts.map { other + $0.other }
    isShared = starts.allSatisfy { $0.fixed == starts[0].fixed }
  }

  /// Factors of one term.
  private struct Factors {
    let f0, f1, f2, f3, o0, o1, o2, o3: UnsafePointer<T>
    let isShared: Bool

    @inline(__always)
    func callAsFunction(_ fixed: Int, _ other: Int) -> (Lanes, Lanes) {
      let o = Lanes(Double(o0[other]), Double(o1[other]), Double(o2[other]), Double(o3[other]))
      if isShared { return (Lanes(repeating: Double(f0[fixed])), o) }
      return (Lanes(Double(f0[fixed]), Double(f1[fixed]), Double(f2[fixed]), Double(f3[fixed])), o)
    }
  }

  private var factors: Factors {
    Factors(
      f0: fixed[0], f1: fixed[1], f2: fixed[2], f3: fixed[3], o0: other[0], o1: other[1], o2: other[2],
      o3: other[3], isShared: isShared)
  }

  func part(_ inner: [Int]) -> Lanes {
    let factors = factors
    var sum = Lanes()
    for i in inner {
      for o in 0..<terms.outer {
        let (a, b) = factors(
          terms.fixedInner[i] + o * terms.fixedStep, terms.otherInner[i] + o * terms.otherStep)
        sum += a * b
      }
    }
    return sum
  }

  func values(hasControl: Bool) -> [SampledOracle<T>.Value] {
    let isDouble = T.self == Double.self
    let factors = factors
    var (sum, low, magnitude, squares) = (Lanes(), Lanes(), Lanes(), Lanes())
    var (path, coarse, partial, otherPath) = (Lanes(), Lanes(), Lanes(), Lanes())
    let (inner, outer) = (terms.fixedInner.count, terms.outer)
    terms.fixedInner.withUnsafeBufferPointer { fixedInner in
      terms.otherInner.withUnsafeBufferPointer { otherInner in
        for o in 0..<outer {
          let (fixedStart, otherStart) = (o * terms.fixedStep, o * terms.otherStep)
          for i in 0..<inner {
            let (a, b) = factors(fixedInner[i] + fixedStart, otherInner[i] + otherStart)
            let product = a * b
            if isDouble {
              let (total, rest) = LaneSums.twoSum(sum, product)
              low += rest + LaneSums.productRest(a, b, product)
              sum = total
            } else {
              // Products of float32 numbers are exact.
              sum += product
            }
            magnitude += product.replacing(with: -product, where: product .< 0)
            squares += product * product
            path += sum * sum
            coarse += LaneSums.coarse(a) * LaneSums.coarse(b)
          }
        }
        for i in 0..<inner {
          let (fixedStart, otherStart) = (fixedInner[i], otherInner[i])
          for o in 0..<outer {
            let (a, b) = factors(fixedStart + o * terms.fixedStep, otherStart + o * terms.otherStep)
            partial += a * b
            otherPath += partial * partial
          }
        }
      }
    }
    let total = sum + low
    let control = hasControl ? controls(total) : Lanes()
    return (0..<4).map {
      var value = SampledOracle<T>.Value()
      (value.sum, value.magnitude, value.squares) = (total[$0], magnitude[$0], squares[$0])
      value.path = max(path[$0], otherPath[$0])
      (value.coarse, value.control) = (coarse[$0], control[$0])
      return value
    }
  }

  /// The larger errors of plain sums of T in both orders.
  private func controls(_ value: Lanes) -> Lanes {
    let factors = factors
    let (inner, outer) = (terms.fixedInner.count, terms.outer)
    var (first, second) = (SIMD4<T>(), SIMD4<T>())
    func product(_ o: Int, _ i: Int) -> SIMD4<T> {
      let (a, b) = factors(
        terms.fixedInner[i] + o * terms.fixedStep, terms.otherInner[i] + o * terms.otherStep)
      let product = a * b
      return SIMD4(T(product[0]), T(product[1]), T(product[2]), T(product[3]))
    }
    for o in 0..<outer { for i in 0..<inner { first += product(o, i) } }
    for i in 0..<inner { for o in 0..<outer { second += product(o, i) } }
    var result = Lanes()
    for lane in 0..<4 {
      result[lane] = max(abs(Double(first[lane]) - value[lane]), abs(Double(second[lane]) - value[lane]))
    }
    return result
  }

  /// a + b and what it is rounded by.
  @inline(__always)
  private static func twoSum(_ a: Lanes, _ b: Lanes) -> (Lanes, Lanes) {
    let sum = a + b
    let other = sum - a
    return (sum, (a - (sum - other)) + (b - other))
  }

  /// What the product of two numbers of 53 bits is rounded by, from halves of 26 and 27 bits.
  @inline(__always)
  private static func productRest(_ a: Lanes, _ b: Lanes, _ product: Lanes) -> Lanes {
    let (aHigh, bHigh) = (high(a), high(b))
    let (aLow, bLow) = (a - aHigh, b - bHigh)
    return ((aHigh * bHigh - product) + aHigh * bLow + aLow * bHigh) + aLow * bLow
  }

  /// The upper 26 bits, by Veltkamp's splitting with 2²⁷ + 1.
  @inline(__always)
  private static func high(_ a: Lanes) -> Lanes {
    let scaled = a * 134_217_729
    return scaled - (scaled - a)
  }

  /// Rounded to 11 bits, by the same splitting with 2⁴² + 1.
  @inline(__always)
  private static func coarse(_ a: Lanes) -> Lanes {
    let scaled = a * 4_398_046_511_105
    return scaled - (scaled - a)
  }
}
