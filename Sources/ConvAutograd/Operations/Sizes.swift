import ConvCore

/// Kernel sizes, strides, paddings as PyTorch takes them: one number for all axes (`3`), or one per axis (`[3, 5]`).
public struct Sizes: Hashable, Sendable, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral {
  /// The numbers as given.
  public let values: [Int]

  /// One number for all axes.
  public init(_ value: Int) { values = [value] }
  /// One number per axis (or, for paddings, per side).
  public init(_ values: [Int]) { self.values = values }
  /// One number for all axes.
  public init(integerLiteral value: Int) { values = [value] }
  /// One number per axis (or, for paddings, per side).
  public init(arrayLiteral elements: Int...) { values = elements }

  /// As one number per spatial axis of a `rank`-D operation.
  ///
  /// - Throws: `ConvError.operand` where the count is neither 1 nor `rank`.
  public func extent(rank: Int, what: String) throws -> Extent {
    guard values.count == 1 || values.count == rank else {
      throw ConvError.operand(
        "\(what) of a \(rank)-D operation has \(values.count) numbers \(values), expected 1 or \(rank)")
    }
    var extent = Extent(w: 1)
    for axis in 0..<rank {
      extent[3 - rank + axis] = values.count == 1 ? values[0] : values[axis]
    }
    return extent
  }

  /// As a padding: one number for all sides, one per axis, or one per side (`[top, bottom, left, right]`; in 1-D two
  /// numbers are the sides).
  ///
  /// - Throws: `ConvError.operand` where the count is neither 1 nor `rank` nor twice `rank`.
  public func padding(rank: Int) throws -> Padding {
    guard values.count == 2 * rank else {
      guard values.count == 1 || values.count == rank else {
        throw ConvError.operand(
          "padding of a \(rank)-D operation has \(values.count) numbers \(values), "
            + "expected 1, \(rank) or \(2 * rank)")
      }
      var both = Extent(d: 0, h: 0, w: 0)
      for axis in 0..<rank { both[3 - rank + axis] = values.count == 1 ? values[0] : values[axis] }
      return Padding(before: both, after: both)
    }
    var (before, after) = (Extent(d: 0, h: 0, w: 0), Extent(d: 0, h: 0, w: 0))
    for axis in 0..<rank {
      before[3 - rank + axis] = values[2 * axis]
      after[3 - rank + axis] = values[2 * axis + 1]
    }
    return Padding(before: before, after: after)
  }
}

extension Sizes: CustomStringConvertible {
  /// `3` or `[3, 5]`.
  public var description: String { values.count == 1 ? "\(values[0])" : "\(values)" }
}
