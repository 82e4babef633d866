internal import CConvKernels
import ConvCore

/// Moves elements between one image and its column matrix, for one group of channels.
///
/// A column row is one (channel, tap) pair, a column is one output position (z, p, q flattened): the matrix element is the input
/// that this tap reads for this output, zero outside the image. NCHW: stored [rows][positions], rows in the order c, t, r, s.
/// NHWC: stored [positions][rows], rows in the order t, r, s, c. Both are the order of the filter's own memory.
struct Columns: Sendable {
  let problem: ConvProblem
  let format: MemoryFormat

  /// A part of the column matrix.
  struct Block {
    var rows: Range<Int>
    var positions: Range<Int>
    /// From one row (NCHW) or position (NHWC) to the next where the part is stored: more than its length where the columns
    /// of several images stand side by side.
    var stride: Int
  }

  /// The inputs that a scatter may touch: a range per axis.
  struct Window {
    var lower: Extent
    var upper: Extent
  }

  /// The whole image.
  var wholeImage: Window { Window(lower: Extent(d: 0, h: 0, w: 0), upper: problem.input) }

  /// Writes a block of the column matrix to `columns`.
  ///
  /// - Parameter image: first element of the group's first channel in one image.
  func build<T: ConvScalar>(_ image: UnsafePointer<T>, _ block: Block, _ columns: UnsafeMutablePointer<T>) {
    // Concrete calls, so that the loops below are specialised where they are compiled.
    if T.self == Float.self {
      buildColumns(self, recast(image, Float.self), block, recast(columns, Float.self))
    } else {
      buildColumns(self, recast(image, Double.self), block, recast(columns, Double.self))
    }
  }

  /// Adds a block of column gradients to the inputs inside `window` that they were read from.
  ///
  /// - Parameter clearing: sets each channel's inputs inside the window to 0 right before its first row is added (NCHW).
  func scatter<T: ConvScalar>(
    _ columns: UnsafePointer<T>, _ block: Block, _ window: Window, clearing: Bool,
    _ image: UnsafeMutablePointer<T>
  ) {
    if T.self == Float.self {
      scatterColumns(self, recast(columns, Float.self), block, window, clearing, recast(image, Float.self))
    } else {
      scatterColumns(self, recast(columns, Double.self), block, window, clearing, recast(image, Double.self))
    }
  }

  /// The flattened inputs of a window that cuts the outermost axis only: they follow each other.
  func inputs(of window: Window) -> Range<Int> {
    let all = problem.input
    let first = (window.lower.d * all.h + window.lower.h) * all.w + window.lower.w
    return first..<((window.upper.d - 1) * all.h + window.upper.h - 1) * all.w + window.upper.w
  }
}

/// The element types, with the kernels that move their lines.
private protocol ColumnScalar: ConvScalar {
  static func gatherLines(
    _ lines: Int, before: Int, length: Int, after: Int, _ from: UnsafePointer<Self>, stride: Int, step: Int,
    _ to: UnsafeMutablePointer<Self>)
  static func scatterLines(
    _ lines: Int, length: Int, _ from: UnsafePointer<Self>, fromStride: Int,
    _ to: UnsafeMutablePointer<Self>, toStride: Int, step: Int)
}

extension Float: ColumnScalar {
  fileprivate static func gatherLines(
    _ lines: Int, before: Int, length: Int, after: Int, _ from: UnsafePointer<Float>, stride: Int, step: Int,
    _ to: UnsafeMutablePointer<Float>
  ) {
    vb_gather_lines_f32(nil, lines, before, length, after, from, stride, step, to)
  }
  fileprivate static func scatterLines(
    _ lines: Int, length: Int, _ from: UnsafePointer<Float>, fromStride: Int,
    _ to: UnsafeMutablePointer<Float>, toStride: Int, step: Int
  ) {
    vb_scatter_lines_f32(nil, lines, length, from, fromStride, to, toStride, step)
  }
}

extension Double: ColumnScalar {
  fileprivate static func gatherLines(
    _ lines: Int, before: Int, length: Int, after: Int, _ from: UnsafePointer<Double>, stride: Int, step: Int,
    _ to: UnsafeMutablePointer<Double>
  ) {
    vb_gather_lines_f64(nil, lines, before, length, after, from, stride, step, to)
  }
  fileprivate static func scatterLines(
    _ lines: Int, length: Int, _ from: UnsafePointer<Double>, fromStride: Int,
    _ to: UnsafeMutablePointer<Double>, toStride: Int, step: Int
  ) {
    vb_scatter_lines_f64(nil, lines, length, from, fromStride, to, toStride, step)
  }
}

private func recast<T, U>(_ pointer: UnsafePointer<T>, _: U.Type) -> UnsafePointer<U> {
  precondition(T.self == U.self, "columns of \(T.self): only Float and Double are convolution scalars")
  return UnsafeRawPointer(pointer).assumingMemoryBound(to: U.self)
}

private func recast<T, U>(_ pointer: UnsafeMutablePointer<T>, _: U.Type) -> UnsafeMutablePointer<U> {
  precondition(T.self == U.self, "columns of \(T.self): only Float and Double are convolution scalars")
  return UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: U.self)
}

/// ⌈a / b⌉ for b > 0 and any a.
func ceilDivide(_ a: Int, _ b: Int) -> Int { a >= 0 ? (a + b - 1) / b : -(-a / b) }

/// One filter tap as input offsets: the input read for output i is i·stride + offset.
private struct Tap {
  var d, h, w: Int

  init(_ problem: ConvProblem, flattened tap: Int) {
    let taps = problem.filter
    d = tap / (taps.h * taps.w) * problem.dilation.d - problem.padding.front
    h = tap / taps.w % taps.h * problem.dilation.h - problem.padding.top
    w = tap % taps.w * problem.dilation.w - problem.padding.left
  }
}

/// The part of `outputs` whose inputs through `offset` lie in `lower..<upper`; empty ranges keep their place.
@inline(__always)
private func outputsReading(
  _ lower: Int, _ upper: Int, offset: Int, stride: Int, within outputs: Range<Int>
) -> Range<Int> {
  let first = stride == 1 ? lower - offset : ceilDivide(lower - offset, stride)
  let end = stride == 1 ? upper - offset : ceilDivide(upper - offset, stride)
  let from = min(max(first, outputs.lowerBound), outputs.upperBound)
  return from..<min(max(end, from), outputs.upperBound)
}

/// Calls `body(z, p, qs, index)` for each line (equal z, p) that `positions` touches; `index` counts from the range's start.
@inline(__always)
private func forEachLine(
  _ output: Extent, _ positions: Range<Int>, _ body: (Int, Int, Range<Int>, Int) -> Void
) {
  var position = positions.lowerBound
  var p = position / output.w % output.h
  var z = position / (output.w * output.h)
  var q = position % output.w
  while position < positions.upperBound {
    let end = min(output.w, q + positions.upperBound - position)
    body(z, p, q..<end, position - positions.lowerBound)
    position += end - q
    q = 0
    p += 1
    if p == output.h {
      p = 0
      z += 1
    }
  }
}

/// Calls `body(z, ps, qs, index)` for the lines that `positions` touches: whole lines of one plane together, broken ones alone.
@inline(__always)
private func forEachLines(
  _ output: Extent, _ positions: Range<Int>, _ body: (Int, Range<Int>, Range<Int>, Int) -> Void
) {
  let plane = output.h * output.w
  var position = positions.lowerBound
  while position < positions.upperBound {
    let (z, p, q) = (position / plane, position % plane / output.w, position % output.w)
    let left = positions.upperBound - position
    let lines = q == 0 ? max(1, min(output.h - p, left / output.w)) : 1
    let end = min(output.w, q + left)
    body(z, p..<p + lines, q..<end, position - positions.lowerBound)
    position += lines * (end - q)
  }
}

@inline(__always)
private func clear<T: ConvScalar>(_ to: UnsafeMutablePointer<T>, _ count: Int) {
  if count > 0 { to.update(repeating: 0, count: count) }
}

// MARK: Building

private func buildColumns<T: ColumnScalar>(
  _ geometry: Columns, _ image: UnsafePointer<T>, _ block: Columns.Block, _ columns: UnsafeMutablePointer<T>
) {
  if geometry.format == .nhwc {
    buildChannelsLast(geometry, image, block, columns)
    return
  }
  let problem = geometry.problem
  let taps = problem.filter.count
  for row in block.rows {
    buildRow(
      problem, image + row / taps * problem.input.count, Tap(problem, flattened: row % taps), block.positions,
      columns + (row - block.rows.lowerBound) * block.stride)
  }
}

/// One column row.
private func buildRow<T: ColumnScalar>(
  _ problem: ConvProblem, _ channel: UnsafePointer<T>, _ tap: Tap, _ positions: Range<Int>,
  _ columns: UnsafeMutablePointer<T>
) {
  let (input, output, stride) = (problem.input, problem.output, problem.stride)
  let readingH = outputsReading(0, input.h, offset: tap.h, stride: stride.h, within: 0..<output.h)
  let readingW = outputsReading(0, input.w, offset: tap.w, stride: stride.w, within: 0..<output.w)
  forEachLines(output, positions) { z, lines, line, index in
    let d = z * stride.d + tap.d
    let to = columns + index
    let (rows, inside) = (readingH.clamped(to: lines), readingW.clamped(to: line))
    if d < 0 || d >= input.d || rows.isEmpty || inside.isEmpty { return clear(to, lines.count * line.count) }
    clear(to, (rows.lowerBound - lines.lowerBound) * line.count)
    T.gatherLines(
      rows.count, before: inside.lowerBound - line.lowerBound, length: inside.count,
      after: line.upperBound - inside.upperBound,
      channel + (d * input.h + rows.lowerBound * stride.h + tap.h) * input.w + inside.lowerBound * stride.w
        + tap.w,
      stride: stride.h * input.w, step: stride.w, to + (rows.lowerBound - lines.lowerBound) * line.count)
    clear(
      to + (rows.upperBound - lines.lowerBound) * line.count,
      (lines.upperBound - rows.upperBound) * line.count)
  }
}

/// Calls `body(first row, row count, input offset or nil)` for the runs of contiguous input channels that one output reads, clipped
/// to `rows`. Where the taps of a filter line lie side by side in memory they are one run.
@inline(__always)
private func forEachRun(
  _ problem: ConvProblem, z: Int, p: Int, q: Int, rows: Range<Int>, window: Columns.Window,
  _ body: (Int, Int, Int?) -> Void
) {
  let (input, filter, channels) = (problem.input, problem.filter, problem.cPerGroup)
  let lineRows = filter.w * channels
  let firstW = q * problem.stride.w - problem.padding.left
  let taps = outputsReading(
    window.lower.w, window.upper.w, offset: firstW, stride: problem.dilation.w, within: 0..<filter.w)
  let isOneRun = problem.dilation.w == 1 && problem.groups == 1
  func emit(_ start: Int, _ end: Int, _ offset: Int?) {
    let from = max(start, rows.lowerBound)
    let until = min(end, rows.upperBound)
    if from < until { body(from, until - from, offset.map { $0 + from - start }) }
  }
  for line in rows.lowerBound / lineRows...(rows.upperBound - 1) / lineRows {
    let start = line * lineRows
    let d = z * problem.stride.d + line / filter.h * problem.dilation.d - problem.padding.front
    let h = p * problem.stride.h + line % filter.h * problem.dilation.h - problem.padding.top
    guard d >= window.lower.d, d < window.upper.d, h >= window.lower.h, h < window.upper.h else {
      emit(start, start + lineRows, nil)
      continue
    }
    emit(start, start + taps.lowerBound * channels, nil)
    let lineStart = (d * input.h + h) * input.w
    if isOneRun {
      if !taps.isEmpty {
        emit(
          start + taps.lowerBound * channels, start + taps.upperBound * channels,
          (lineStart + firstW + taps.lowerBound) * problem.c)
      }
    } else {
      for tap in taps {
        emit(
          start + tap * channels, start + (tap + 1) * channels,
          (lineStart + firstW + tap * problem.dilation.w) * problem.c)
      }
    }
    emit(start + taps.upperBound * channels, start + lineRows, nil)
  }
}

private func buildChannelsLast<T: ConvScalar>(
  _ geometry: Columns, _ image: UnsafePointer<T>, _ block: Columns.Block, _ columns: UnsafeMutablePointer<T>
) {
  let window = geometry.wholeImage
  forEachLine(geometry.problem.output, block.positions) { z, p, line, index in
    for q in line {
      let to = columns + (index + q - line.lowerBound) * block.stride - block.rows.lowerBound
      forEachRun(geometry.problem, z: z, p: p, q: q, rows: block.rows, window: window) { row, count, offset in
        if let offset {
          (to + row).update(from: image + offset, count: count)
        } else {
          clear(to + row, count)
        }
      }
    }
  }
}

// MARK: Scattering

private func scatterColumns<T: ColumnScalar>(
  _ geometry: Columns, _ columns: UnsafePointer<T>, _ block: Columns.Block, _ window: Columns.Window,
  _ clearing: Bool, _ image: UnsafeMutablePointer<T>
) {
  if geometry.format == .nhwc {
    scatterChannelsLast(geometry, columns, block, window, image)
    return
  }
  let problem = geometry.problem
  let (input, stride) = (problem.input, problem.stride)
  let taps = problem.filter.count
  for row in block.rows {
    let channel = image + row / taps * input.count
    let source = columns + (row - block.rows.lowerBound) * block.stride
    let tap = Tap(problem, flattened: row % taps)
    if clearing && row % taps == 0 {
      let inputs = geometry.inputs(of: window)
      clear(channel + inputs.lowerBound, inputs.count)
    }
    let readingH = outputsReading(
      window.lower.h, window.upper.h, offset: tap.h, stride: stride.h, within: 0..<problem.output.h)
    let readingW = outputsReading(
      window.lower.w, window.upper.w, offset: tap.w, stride: stride.w, within: 0..<problem.output.w)
    forEachLines(problem.output, block.positions) { z, lines, line, index in
      let d = z * stride.d + tap.d
      let (rows, inside) = (readingH.clamped(to: lines), readingW.clamped(to: line))
      if d < window.lower.d || d >= window.upper.d || rows.isEmpty || inside.isEmpty { return }
      T.scatterLines(
        rows.count, length: inside.count,
        source + index + (rows.lowerBound - lines.lowerBound) * line.count + inside.lowerBound
          - line.lowerBound,
        fromStride: line.count,
        channel + (d * input.h + rows.lowerBound * stride.h + tap.h) * input.w
          + inside.lowerBound * stride.w + tap.w, toStride: stride.h * input.w, step: stride.w)
    }
  }
}

private func scatterChannelsLast<T: ConvScalar>(
  _ geometry: Columns, _ columns: UnsafePointer<T>, _ block: Columns.Block, _ window: Columns.Window,
  _ image: UnsafeMutablePointer<T>
) {
  forEachLine(geometry.problem.output, block.positions) { z, p, line, index in
    for q in line {
      let source = columns + (index + q - line.lowerBound) * block.stride - block.rows.lowerBound
      forEachRun(geometry.problem, z: z, p: p, q: q, rows: block.rows, window: window) { row, count, offset in
        guard let offset else { return }
        let (from, to) = (source + row, image + offset)
        for i in 0..<count { to[i] += from[i] }
      }
    }
  }
}
