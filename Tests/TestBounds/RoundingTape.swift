/// Every rounding of a formula, with what it depends on: the tolerances of layers, losses and optimizers come from here.
///
/// A test writes an operation once more, as a formula of `Traced` numbers, step by step as the library rounds. Values are float64;
/// each step also records what a machine with unit roundoff u may add, and its partial derivatives. For a result y the
/// sensitivity ∂y/∂r to each rounding r then follows by one sweep back through the tape (reverse differentiation), so that an
/// error that is shared — of a mean, of a learning rate stored in float32 — counts once, with its cancellations. To first order in u
///
///   |error of y| ≤ min( λ·√(Σ (∂y/∂r · u·r)²), Σ |∂y/∂r · u·r| ),   r: the rounded values, λ = √(2·ln(2N/p)).
///
/// The second is certain; the first is the martingale bound of probabilistic rounding analysis (Higham & Mary 2019, 2020) for N
/// judged values of which all keep it with probability 1 − p. It supposes roundings of mean zero that do not follow each other:
/// the stored cases hold random numbers. p = 10⁻³ is a nominal figure. Where few roundings are made the second is smaller.
///
/// A sum is one step, since nobody knows its order. Of k terms t with sum y, Q = Σ t², the squares of all partial sums are on
/// average over the orders (k + 1)/3·y² + (k + 1)/6·Q; of the terms t₁, which is not rounded, Q/k. The larger of that and of the
/// order of the formula counts; rounded products add Q. By Cauchy and Schwarz Σ |r| ≤ √(steps · Σ r²) for the certain bound.
///
/// A rounding to a subnormal number errs by as much as one to the least normal number. A product with 0 or a power of two, a sum with 0
/// and a single term are exact.
public final class RoundingTape {
  /// Unit roundoff of the type that is traced.
  public let working: Double
  /// Whether the machine is the one whose results are stored (PyTorch), where its formula is another.
  public let isStored: Bool
  private var unit: Double
  /// The root of Σ (u·r)² and Σ |u·r| of each step's own roundings.
  private var roots: [Double] = []
  private var masses: [Double] = []
  /// The steps that a step depends on: up to `ends[i]` in `parents` and `partials`.
  private var ends: [Int] = []
  private var parents: [Int32] = []
  private var partials: [Double] = []
  /// Room for a sweep: sensitivities, and a bit for each step that waits for its turn. All 0 between two sweeps.
  private var adjoints: [Double] = []
  private var pending: [UInt64] = []
  /// Numbers whose sign decides the way of the formula: inputs of ReLUs, differences of a maximum to its rivals.
  public var decisions: [Traced] { decided.map { Traced(value: $0.value, step: $0.step, tape: self) } }
  /// Without the tape, which would hold itself for ever.
  private var decided: [(value: Double, step: Int)] = []

  /// An empty tape for results in a type with this unit roundoff.
  public init(unitRoundoff: Double, isStored: Bool = false) {
    working = unitRoundoff
    self.isStored = isStored
    unit = unitRoundoff
  }

  /// A number without error: what is given, or known to be exact.
  public func exact(_ value: Double) -> Traced { Traced(value: value, step: -1, tape: self) }

  /// Numbers without error.
  public func exact(_ values: [Double]) -> [Traced] { values.map(exact) }

  /// What `body` computes in float64, whatever the working type.
  public func inDouble<R>(_ body: () throws -> R) rethrows -> R {
    let outer = unit
    unit = 0x1p-53
    defer { unit = outer }
    return try body()
  }

  /// Whether the working type is float64.
  public var isDouble: Bool { working == 0x1p-53 }

  /// A number stored in the working type. In float64 it has that already.
  public func stored(_ x: Traced) -> Traced {
    let outer = unit
    unit = working
    defer { unit = outer }
    return isDouble ? x : record(x.value, roundings: 1, x, 1)
  }

  /// A constant stored in the working type.
  public func stored(_ value: Double) -> Traced { stored(exact(value)) }

  /// Notes that the sign of `x` decides.
  public func decide(_ x: Traced) { if x.step >= 0 { decided.append((x.value, x.step)) } }

  /// One step with at most two operands.
  func record(
    _ value: Double, roundings: Double, _ a: Traced, _ da: Double, _ b: Traced? = nil, _ db: Double = 0
  ) -> Traced {
    let rounded = value == 0 ? 0 : unit * max(abs(value), leastNormal)
    return append(value, root: rounded * roundings, mass: rounded * roundings) {
      depend(on: a, da)
      if let b { depend(on: b, db) }
    }
  }

  private var leastNormal: Double { unit == 0x1p-53 ? 0x1p-1022 : 0x1p-126 }

  private func depend(on a: Traced, _ partial: Double) {
    guard a.step >= 0, partial != 0 else { return }
    parents.append(Int32(a.step))
    partials.append(partial)
  }

  private func append(_ value: Double, root: Double, mass: Double, _ dependences: () -> Void) -> Traced {
    let before = parents.count
    dependences()
    if root == 0 && parents.count == before { return exact(value) }
    roots.append(root)
    masses.append(mass)
    ends.append(parents.count)
    adjoints.append(0)
    if pending.count << 6 < adjoints.count { pending.append(0) }
    return Traced(value: value, step: roots.count - 1, tape: self)
  }

  /// Σ a·b + Σ c in an unknown order.
  public func sum(products: [(Traced, Traced)], and terms: [Traced] = []) -> Traced {
    var (sum, squares, chain, count, products2, factors) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    func add(_ term: Double) {
      guard term != 0 else { return }
      count += 1
      sum += term
      squares += term * term
      if count > 1 { chain += sum * sum }
    }
    for (a, b) in products {
      let term = a.value * b.value
      add(term)
      if a.isPlainFactor || b.isPlainFactor || term == 0 { continue }
      products2 += term * term
      factors += 1
    }
    for term in terms { add(term.value) }
    let average = count > 1 ? (count + 1) / 3 * sum * sum + ((count + 1) / 6 - 1 / count) * squares : 0
    let root = unit * (max(chain, average) + products2).squareRoot()
    return append(sum, root: root, mass: root * (max(0, count - 1) + factors).squareRoot()) {
      for (a, b) in products {
        depend(on: a, b.value)
        depend(on: b, a.value)
      }
      for term in terms { depend(on: term, 1) }
    }
  }

  /// Σ c in an unknown order.
  public func sum(_ terms: [Traced]) -> Traced { sum(products: [], and: terms) }

  /// How far a machine's result may be from the exact one, for a given λ.
  public func bound(of result: Traced, lambda: Double) -> Double {
    let (root, certain) = deviation(of: result)
    return min(lambda * root, certain)
  }

  /// A number in the place of `x`, of whose roundings no more than the sums are known: sweeps from what depends on it are short. A result
  /// may depend on `count` of them, whose errors are no more independent: (Σ e)² ≤ count · Σ e².
  public func summary(of x: Traced, count: Double) -> Traced {
    let (root, certain) = deviation(of: x)
    return append(x.value, root: root * count.squareRoot(), mass: certain) {}
  }

  /// √(Σ (∂y/∂r · u·r)²) and Σ |∂y/∂r · u·r|.
  private func deviation(of result: Traced) -> (root: Double, certain: Double) {
    guard result.step >= 0 else { return (0, 0) }
    adjoints[result.step] = 1
    var (word, lowest) = (result.step >> 6, result.step >> 6)
    pending[word] = 1 << (result.step & 63)
    // The root of a sum of squares, scaled by the largest, so that tiny numbers keep theirs.
    var (largest, squares, certain) = (0.0, 0.0, 0.0)
    while word >= lowest {
      if pending[word] == 0 {
        word -= 1
        continue
      }
      let bit = 63 - pending[word].leadingZeroBitCount
      pending[word] ^= 1 << bit
      let step = word << 6 | bit
      let adjoint = adjoints[step]
      adjoints[step] = 0
      let part = abs(adjoint * roots[step])
      certain += abs(adjoint * masses[step])
      if part > largest {
        squares = squares * (largest / part) * (largest / part) + 1
        largest = part
      } else if part > 0 {
        squares += part / largest * (part / largest)
      }
      for edge in (step == 0 ? 0 : ends[step - 1])..<ends[step] {
        let parent = Int(parents[edge])
        adjoints[parent] += adjoint * partials[edge]
        pending[parent >> 6] |= 1 << (parent & 63)
        lowest = min(lowest, parent >> 6)
      }
    }
    return (largest * squares.squareRoot(), certain)
  }
}

/// A number of a formula whose roundings are on a tape.
public struct Traced {
  /// Its value in float64.
  public let value: Double
  /// Its step on the tape; -1 where it is exact.
  let step: Int
  let tape: RoundingTape

  /// Whether products with it are exact: 0 or a power of two without error.
  var isPlainFactor: Bool { step < 0 && (value == 0 || value.significand == 1) }

  private var isZero: Bool { step < 0 && value == 0 }

  public static func + (a: Traced, b: Traced) -> Traced {
    if a.isZero { return b }
    return b.isZero ? a : a.tape.record(a.value + b.value, roundings: 1, a, 1, b, 1)
  }

  public static func - (a: Traced, b: Traced) -> Traced {
    b.isZero ? a : a.tape.record(a.value - b.value, roundings: a.isZero ? 0 : 1, a, 1, b, -1)
  }

  public static func * (a: Traced, b: Traced) -> Traced {
    a.tape.record(
      a.value * b.value, roundings: a.isPlainFactor || b.isPlainFactor ? 0 : 1, a, b.value, b, a.value)
  }

  public static func / (a: Traced, b: Traced) -> Traced {
    let y = a.value / b.value
    return a.tape.record(y, roundings: b.isPlainFactor ? 0 : 1, a, 1 / b.value, b, -y / b.value)
  }

  public static prefix func - (a: Traced) -> Traced { a.tape.record(-a.value, roundings: 0, a, -1) }

  /// Some function of it, of which the library promises less than `roundings` · u relative error.
  public func map(to value: Double, derivative: Double, roundings: Double) -> Traced {
    tape.record(value, roundings: roundings, self, derivative)
  }

  /// √x. A 0 on the tape is exact: only products and sums of exact zeros make it.
  public func squareRoot() -> Traced {
    let root = value.squareRoot()
    return map(to: root, derivative: root == 0 ? 0 : 0.5 / root, roundings: 1)
  }

  /// max(x, 0).
  public func clamped() -> Traced {
    tape.decide(self)
    return value > 0 ? self : tape.exact(0)
  }
}
