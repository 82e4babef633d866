/// One number per spatial axis: depth, height, width. Axes that a problem lacks hold 1.
public struct Extent: Hashable, Sendable {
  public var d, h, w: Int

  /// All three axes.
  public init(d: Int = 1, h: Int = 1, w: Int) {
    self.d = d
    self.h = h
    self.w = w
  }

  /// d·h·w.
  public var count: Int { d * h * w }

  /// Axis 0 is depth, 1 is height, 2 is width.
  public subscript(axis: Int) -> Int {
    get { axis == 0 ? d : axis == 1 ? h : w }
    set {
      switch axis {
      case 0: d = newValue
      case 1: h = newValue
      default: w = newValue
      }
    }
  }
}

/// Zeros around the input, per side.
public struct Padding: Hashable, Sendable {
  public var front, back, top, bottom, left, right: Int

  /// Each side by itself.
  public init(
    front: Int = 0, back: Int = 0, top: Int = 0, bottom: Int = 0, left: Int = 0, right: Int = 0
  ) {
    self.front = front
    self.back = back
    self.top = top
    self.bottom = bottom
    self.left = left
    self.right = right
  }

  /// The same padding before and after each axis.
  public init(d: Int = 0, h: Int = 0, w: Int = 0) {
    self.init(front: d, back: d, top: h, bottom: h, left: w, right: w)
  }

  /// Padding before the first element per axis (front, top, left).
  public var before: Extent { Extent(d: front, h: top, w: left) }
  /// Padding after the last element per axis (back, bottom, right).
  public var after: Extent { Extent(d: back, h: bottom, w: right) }

  /// From the paddings before and after each axis.
  public init(before: Extent, after: Extent) {
    self.init(
      front: before.d, back: after.d, top: before.h, bottom: after.h, left: before.w, right: after.w)
  }
}
