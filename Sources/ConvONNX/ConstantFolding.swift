import Foundation

/// Arithmetic with the numbers that shapes are computed from.
enum ConstantFolding {
  /// Functions of one number that keep integers integers.
  static let functions: [String: @Sendable (Double) -> Double] = [
    "Abs": { abs($0) }, "Ceil": { $0.rounded(.up) }, "Floor": { $0.rounded(.down) }, "Neg": { -$0 },
    "Not": { $0 == 0 ? 1 : 0 }, "Round": { $0.rounded(.toNearestOrEven) },
    "Sign": { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }, "Sqrt": { $0.squareRoot() },
  ]

  /// Functions of two numbers; of integers where the flag says so.
  private static let pairs: [String: @Sendable (Double, Double, Bool) -> Double?] = [
    "Add": { x, y, _ in x + y }, "Sub": { x, y, _ in x - y }, "Mul": { x, y, _ in x * y },
    "Div": { x, y, isInteger in isInteger ? (y == 0 ? nil : (x / y).rounded(.towardZero)) : x / y },
    "Mod": { x, y, isInteger in y == 0 ? nil : isInteger ? x - y * (x / y).rounded(.down) : nil },
    "Pow": { x, y, _ in pow(x, y) }, "Max": { x, y, _ in max(x, y) }, "Min": { x, y, _ in min(x, y) },
    "Sum": { x, y, _ in x + y }, "Equal": { x, y, _ in x == y ? 1 : 0 },
    "Less": { x, y, _ in x < y ? 1 : 0 }, "LessOrEqual": { x, y, _ in x <= y ? 1 : 0 },
    "Greater": { x, y, _ in x > y ? 1 : 0 }, "GreaterOrEqual": { x, y, _ in x >= y ? 1 : 0 },
    "And": { x, y, _ in x != 0 && y != 0 ? 1 : 0 }, "Or": { x, y, _ in x != 0 || y != 0 ? 1 : 0 },
    "Xor": { x, y, _ in (x != 0) != (y != 0) ? 1 : 0 },
  ]

  /// The numbers of an operator that works element by element on inputs that extend to `shape`; nil where they are not known.
  static func numbers(_ op: String, _ inputs: [ModelValue], shape: [Int]) throws -> [Double]? {
    guard try ModelValue.count(shape) <= ModelValue.mostConstants else { return nil }
    let lists = try inputs.compactMap { try $0.extended(to: shape) }
    guard lists.count == inputs.count, let first = lists.first else { return nil }
    if op == "Where" {
      guard lists.count == 3 else { return nil }
      return first.indices.map { first[$0] != 0 ? lists[1][$0] : lists[2][$0] }
    }
    guard let function = pairs[op] else { return nil }
    var result = first
    for other in lists.dropFirst() {
      for i in result.indices {
        guard let number = function(result[i], other[i], inputs[0].isInteger) else { return nil }
        result[i] = number
      }
    }
    return result
  }

  /// All numbers taken together; nil for functions that are not computed.
  static func reduction(_ op: String, _ numbers: [Double]) -> Double? {
    switch op {
    case "ReduceSum": numbers.reduce(0, +)
    case "ReduceProd": numbers.reduce(1, *)
    case "ReduceMax": numbers.max()
    case "ReduceMin": numbers.min()
    default: nil
    }
  }
}

extension ModelValue {
  /// The numbers of a value of another shape, each of which stands somewhere in this one; nil where there are none.
  ///
  /// - Parameters:
  ///   - from: where the first one stands, in row-major order.
  ///   - steps: how far two neighbours along each axis stand apart.
  func gathered(_ result: [Int], from: Int = 0, steps: [Int]) throws -> [Double]? {
    let count = try Self.count(result)
    guard let constants, count <= Self.mostConstants else { return nil }
    var numbers: [Double] = []
    numbers.reserveCapacity(count)
    var index = Array(repeating: 0, count: result.count)
    var place = from
    for _ in 0..<count {
      numbers.append(constants[place])
      for axis in result.indices.reversed() {
        index[axis] += 1
        place += steps[axis]
        if index[axis] < result[axis] { break }
        place -= index[axis] * steps[axis]
        index[axis] = 0
      }
    }
    return numbers
  }

  /// How far two neighbours along each axis stand apart in row-major order. Of constants, whose elements are few.
  var steps: [Int] {
    var steps = Array(repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { steps[axis] = steps[axis + 1] &* shape[axis + 1] }
    return steps
  }

  /// The numbers of a larger shape that this one extends to.
  func extended(to result: [Int]) throws -> [Double]? {
    if result == shape { return constants }
    let own = zip(shape, steps).map { $0 == 1 ? 0 : $1 }
    return try gathered(result, steps: Array(repeating: 0, count: result.count - shape.count) + own)
  }
}
