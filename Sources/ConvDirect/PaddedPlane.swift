import ConvCore

/// Where a padded copy of some rows of a plane lies: rows `pitch` apart, in each of them the columns sorted by their residue modulo
/// the step between windows, so that neighbouring windows read neighbouring elements.
struct PaddedPlane: Sendable, Hashable {
  /// Row and column of the source at which the copy for the steps from 0 on begins.
  let firstRow, firstColumn: Int
  /// Source rows from a step to the next.
  let rowStep: Int
  /// Rows of a band.
  let height: Int
  /// Source columns that are copied.
  let width: Int
  /// Columns from a window to the next: residues.
  let step: Int
  /// Elements of one residue of a row.
  let run: Int
  /// Elements of a row.
  var pitch: Int { step * run }
  /// Vectors may be read beyond the last window.
  let slack: Int
  /// Elements of the copy, or the largest number where that overflows.
  var count: Int {
    let rows = saturatingProduct(height, saturatingProduct(step, run))
    return rows > .max - slack ? .max : rows + slack
  }

  /// The copy for bands of `steps` steps of every row phase.
  init(_ rows: [AxisPhase], _ columns: [AxisPhase], steps: Int, lanes: Int) {
    let vertical = unionOfReaches(rows, 0..<steps)
    let horizontal = unionOfReaches(columns, 0..<Int.max)
    firstRow = vertical.lowerBound
    firstColumn = horizontal.lowerBound
    rowStep = rows.first?.sourceStep ?? 1
    height = vertical.count
    width = horizontal.count
    step = columns.first?.sourceStep ?? 1
    run = divideUp(width, step)
    slack = lanes
  }

  /// Where the first window of a band reads its offset (r, s).
  func offset(_ row: AxisPhase, _ column: AxisPhase, _ r: Int, _ s: Int) -> Int {
    let at = column.sourceFirst - firstColumn + s * column.dilation
    return (row.sourceFirst - firstRow + r * row.dilation) * pitch + at % step * run + at / step
  }

  /// Copies the rows that `steps` read; zeros outside of the source.
  func fill<T: ConvScalar>(
    _ copy: UnsafeMutablePointer<T>, _ plane: UnsafePointer<T>, _ source: Extent, _ steps: Range<Int>
  ) {
    let top = firstRow + steps.lowerBound * rowStep
    for row in 0..<height {
      let line = copy + row * pitch
      guard (0..<source.h).contains(top + row) else {
        line.update(repeating: 0, count: pitch)
        continue
      }
      let from = plane + (top + row) * source.w
      for residue in 0..<step {
        // Elements i of this residue lie in source column firstColumn + residue + i · step.
        let start = firstColumn + residue
        let low = min(run, start >= 0 ? 0 : divideUp(-start, step))
        let high = max(low, min(run, source.w > start ? divideUp(source.w - start, step) : 0))
        let to = line + residue * run
        to.update(repeating: 0, count: low)
        (to + high).update(repeating: 0, count: run - high)
        let first = from + start + low * step
        if step == 1 {
          (to + low).update(from: first, count: high - low)
        } else if step == 2 {
          for i in 0..<(high - low) { to[low + i] = first[2 * i] }
        } else {
          for i in 0..<(high - low) { to[low + i] = first[step * i] }
        }
      }
    }
    (copy + height * pitch).update(repeating: 0, count: slack)
  }
}
