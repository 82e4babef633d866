import ConvCore

/// The part of one image and group that a task reads, pixel by pixel with the group's channels together: in place, or as a copy with
/// zeros around the image.
struct ImageWindow: Sendable {
  let format: MemoryFormat
  let extent: Extent
  /// Channels of all groups, and of one.
  let channels, own: Int
  /// Whether the image itself can be read: one group, channels last, and no window beyond its edges.
  let isInPlace: Bool

  /// Where element (row, column) = (`firstRow`, `firstColumn`) lies, and elements from a row to the next.
  struct View<T> {
    var start: UnsafePointer<T>
    var pitch: Int
    var firstRow, firstColumn: Int
  }

  /// The window over sources of `extent` for all steps of some phases.
  init(
    _ format: MemoryFormat, _ extent: Extent, channels: Int, groups: Int, _ rows: [AxisPhase],
    _ columns: [AxisPhase]
  ) {
    self.format = format
    self.extent = extent
    self.channels = channels
    own = channels / groups
    let isInside =
      rows.allSatisfy { isWithin($0.reach(0..<$0.count), extent.h) }
      && columns.allSatisfy { isWithin($0.reach(0..<$0.count), extent.w) }
    isInPlace = format == .nhwc && groups == 1 && isInside
  }

  /// Elements of the copy for `steps` steps of every row phase and `across` steps of every column phase.
  func copyCount(_ rows: [AxisPhase], _ steps: Int, _ columns: [AxisPhase], _ across: Int) -> Int {
    if isInPlace { return 0 }
    let height = unionOfReaches(rows, 0..<steps).count
    let width = unionOfReaches(columns, 0..<across).count
    return saturatingProduct(saturatingProduct(height, width), own)
  }

  /// The rows and columns of `image` that the steps read; copied to `copy` unless they are read in place.
  func view<T: DirectScalar>(
    _ kernels: Kernels, _ image: UnsafePointer<T>, group: Int, rows: Range<Int>, columns: Range<Int>,
    copy: UnsafeMutablePointer<T>?
  ) -> View<T> {
    guard !isInPlace, let copy else {
      return View(start: image, pitch: extent.w * channels, firstRow: 0, firstColumn: 0)
    }
    let pitch = columns.count * own
    let inside = columns.clamped(to: 0..<extent.w)
    for row in rows {
      let line = copy + (row - rows.lowerBound) * pitch
      guard (0..<extent.h).contains(row), !inside.isEmpty else {
        line.update(repeating: 0, count: pitch)
        continue
      }
      let before = (inside.lowerBound - columns.lowerBound) * own
      let first = line + before
      let after = first + inside.count * own
      line.update(repeating: 0, count: before)
      after.update(repeating: 0, count: pitch - before - inside.count * own)
      let pixel = row * extent.w + inside.lowerBound
      if format == .nchw {
        let from = image + group * own * extent.count + pixel
        T.transpose(kernels, own, inside.count, from, extent.count, first, own)
      } else if own == channels {
        first.update(from: image + pixel * channels, count: inside.count * channels)
      } else {
        let from = image + pixel * channels + group * own
        for i in 0..<inside.count { (first + i * own).update(from: from + i * channels, count: own) }
      }
    }
    return View(
      start: UnsafePointer(copy), pitch: pitch, firstRow: rows.lowerBound, firstColumn: columns.lowerBound)
  }
}

/// Source positions that steps `range` of any of the phases read.
func unionOfReaches(_ phases: [AxisPhase], _ range: Range<Int>) -> Range<Int> {
  let ranges = phases.map { $0.reach(range.clamped(to: 0..<$0.count)) }.filter { !$0.isEmpty }
  guard let low = ranges.map(\.lowerBound).min(), let high = ranges.map(\.upperBound).max() else {
    return 0..<0
  }
  return low..<high
}

private func isWithin(_ range: Range<Int>, _ extent: Int) -> Bool {
  range.isEmpty || range.lowerBound >= 0 && range.upperBound <= extent
}
