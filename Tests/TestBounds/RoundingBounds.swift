import ConvCore
import ConvHarness
import Foundation

/// What results of an operation may differ from stored ones, entry by entry; see `RoundingTape`.
///
/// The stored numbers are results of a float64 run themselves. So the bounds of two machines are added: of the judged one, and of PyTorch's.
public struct RoundingBounds {
  /// The formula's results in float64, by the names of the stored tensors.
  public private(set) var values: [String: [Double]] = [:]
  /// How far a result may be from the stored one.
  public private(set) var allowed: [String: [Double]] = [:]
  /// Signs that rounding may turn: there the bounds mean nothing.
  public private(set) var undecided: [String] = []
  /// The nominal probability that not all results of a case keep their bounds.
  public static let missProbability = 1e-3

  /// Bounds of results in `type`; `trace` is called once per machine.
  public init(_ type: ElementType, _ trace: (RoundingTape) throws -> [String: [Traced]]) rethrows {
    for tape in [
      RoundingTape(unitRoundoff: type.unitRoundoff),
      RoundingTape(unitRoundoff: ElementType.float64.unitRoundoff, isStored: true),
    ] {
      let results = try trace(tape)
      let count = results.values.reduce(0) { $0 + $1.count }
      let lambda = (2 * log(2 * Double(count) / Self.missProbability)).squareRoot()
      for (name, list) in results {
        let bounds = list.map { tape.bound(of: $0, lambda: lambda) }
        allowed[name] = allowed[name].map { zip($0, bounds).map(+) } ?? bounds
        if !tape.isStored { values[name] = list.map(\.value) }
      }
      undecided += tape.decisions.compactMap { decision in
        let bound = tape.bound(of: decision, lambda: lambda)
        return abs(decision.value) > bound || bound == 0 ? nil : "\(decision.value) ± \(bound)"
      }
    }
  }

  /// The result with the largest error in units of its bound.
  public struct Worst: CustomStringConvertible {
    /// |found − stored| / allowed; infinite for NaN, for an error where none is allowed and for what is missing.
    public var ratio = 0.0
    public var description = "nothing was compared"
  }

  /// The worst result of each tensor that is stored and traced.
  ///
  /// - Throws: `FileError.malformed` where a stored tensor is not float64.
  public func worst(_ stored: ReferenceFile, _ found: [String: Tensor?]) throws -> [String: Worst] {
    var all: [String: Worst] = [:]
    for (name, bounds) in allowed {
      guard let expected = try stored.optionalTensor(name, .float64) else { continue }
      guard let tensor = found[name] ?? nil, tensor.shape == expected.shape else {
        all[name] = Worst(ratio: .infinity, description: "\(stored): \(name) is missing or has another shape")
        continue
      }
      let have = try tensor.converted(to: .float64).values(as: Double.self)
      all[name] = Self.worst("\(stored): \(name)", expected.values(as: Double.self), have, bounds)
    }
    return all
  }

  /// The worst of the formula's own float64 results: the derivation is checked against the stored numbers, too.
  public func worstOfFormula(_ stored: ReferenceFile) throws -> [String: Worst] {
    try worst(
      stored,
      values.reduce(into: [:]) { found, own in
        guard let shape = stored.file.tensors[own.key]?.shape else { return }
        found[own.key] = try Tensor(own.value, shape: shape)
      })
  }

  /// The worst of a list of results.
  public static func worst(
    _ name: String, _ expected: [Double], _ found: [Double], _ bounds: [Double]
  ) -> Worst {
    guard expected.count == found.count, expected.count == bounds.count else {
      return Worst(
        ratio: .infinity,
        description:
          "\(name) has \(found.count) values and \(bounds.count) bounds, stored are \(expected.count)")
    }
    var worst = Worst()
    for i in expected.indices {
      let error = abs(found[i] - expected[i])
      let ratio = error == 0 ? 0 : error <= .infinity ? error / bounds[i] : .infinity
      if ratio > worst.ratio || i == 0 {
        worst = Worst(
          ratio: ratio, description: "\(name)[\(i)] is \(found[i]), \(expected[i]) ± \(bounds[i]) is stored")
      }
    }
    return worst
  }
}

extension [String: RoundingBounds.Worst] {
  /// The worst of all tensors.
  public var all: RoundingBounds.Worst {
    values.max { $0.ratio < $1.ratio } ?? RoundingBounds.Worst()
  }
}

/// The nearest number with `bits` significant bits, ties to even: 11 are those of TF32 operands.
public func rounded(_ x: Double, bits: Int) -> Double {
  guard x != 0, x.isFinite else { return x }
  let unit = scalbn(1, Int(x.exponent) - bits + 1)
  return (x / unit).rounded(.toNearestOrEven) * unit
}
