/// Every `step`-th element of an axis, beginning at `start` (which may lie outside): element i is at start + step·i.
struct AxisSlice: Hashable, Sendable {
  var start: Int
  var step: Int
  var count: Int

  /// The indices i whose place lies inside 0..<extent.
  func inside(_ extent: Int) -> Range<Int> {
    let first = start >= 0 ? 0 : (-start + step - 1) / step
    let end = start >= extent ? 0 : (extent - 1 - start) / step + 1
    return min(first, count)..<max(min(first, count), min(end, count))
  }
}

/// Moves sub-images between a dense [planes][height][width] tensor and a dense [planes][rows.count][columns.count] one.
///
/// Places outside the large image read as zero and are not written.
struct SubImage: Sendable {
  let height: Int
  let width: Int
  let rows: AxisSlice
  let columns: AxisSlice

  /// large → small, plane by plane.
  func gather(
    _ large: UnsafeRawPointer, to small: UnsafeMutableRawPointer, planes: Int, elementBytes: Int,
    pool: WorkerPool
  ) {
    if elementBytes == 8 {
      gather(
        large.assumingMemoryBound(to: UInt64.self), small.assumingMemoryBound(to: UInt64.self), planes, pool)
    } else {
      gather(
        large.assumingMemoryBound(to: UInt32.self), small.assumingMemoryBound(to: UInt32.self), planes, pool)
    }
  }

  /// small → large; what the slices do not name keeps its value.
  func scatter(
    _ small: UnsafeRawPointer, to large: UnsafeMutableRawPointer, planes: Int, elementBytes: Int,
    pool: WorkerPool
  ) {
    if elementBytes == 8 {
      scatter(
        small.assumingMemoryBound(to: UInt64.self), large.assumingMemoryBound(to: UInt64.self), planes, pool)
    } else {
      scatter(
        small.assumingMemoryBound(to: UInt32.self), large.assumingMemoryBound(to: UInt32.self), planes, pool)
    }
  }

  private func gather<Word: FixedWidthInteger>(
    _ large: UnsafePointer<Word>, _ small: UnsafeMutablePointer<Word>, _ planes: Int, _ pool: WorkerPool
  ) {
    let (insideRows, insideColumns) = (rows.inside(height), columns.inside(width))
    forEachPlane(planes, pool) { plane in
      let from = large + plane * height * width
      let to = small + plane * rows.count * columns.count
      for i in 0..<rows.count {
        let target = to + i * columns.count
        guard insideRows.contains(i) else {
          target.update(repeating: 0, count: columns.count)
          continue
        }
        let row = from + (rows.start + rows.step * i) * width
        target.update(repeating: 0, count: insideColumns.lowerBound)
        for j in insideColumns { target[j] = row[columns.start + columns.step * j] }
        (target + insideColumns.upperBound).update(
          repeating: 0, count: columns.count - insideColumns.upperBound)
      }
    }
  }

  private func scatter<Word: FixedWidthInteger>(
    _ small: UnsafePointer<Word>, _ large: UnsafeMutablePointer<Word>, _ planes: Int, _ pool: WorkerPool
  ) {
    let (insideRows, insideColumns) = (rows.inside(height), columns.inside(width))
    forEachPlane(planes, pool) { plane in
      let from = small + plane * rows.count * columns.count
      let to = large + plane * height * width
      for i in insideRows {
        let row = to + (rows.start + rows.step * i) * width
        for j in insideColumns { row[columns.start + columns.step * j] = from[i * columns.count + j] }
      }
    }
  }

  /// Planes side by side, many small ones a task: those of a filter have a few elements each, and handing one out would
  /// take longer than moving it.
  private func forEachPlane(_ planes: Int, _ pool: WorkerPool, _ body: (Int) -> Void) {
    let planesPerTask = max(1, (8 << 10) / max(1, rows.count * columns.count))
    pool.parallelFor((planes + planesPerTask - 1) / planesPerTask) { task in
      for plane in task * planesPerTask..<min(planes, (task + 1) * planesPerTask) { body(plane) }
    }
  }
}

/// Greatest common divisor of positive numbers.
func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
