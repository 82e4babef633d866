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
  }

  /// The inputs that a scatter may touch: a range per axis.
  struct Window {
    var lower: Extent
    var upper: Extent
  }

  /// The whole image.
  var wholeImage: Window { Window(lower: Extent(d: 0, h: 0, w: 0), upper: problem.input) }

  /// Writes a block of the column matrix, dense, to `columns`.
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

  /// Adds a dense block of column gradients to the inputs inside `window` that they were read from.
  func scatter<T: ConvScalar>(
    _ columns: UnsafePointer<T>, _ block: Block, _ window: Window, _ image: UnsafeMutablePointer<T>
  ) {
    if T.self == Float.self {
      scatterColumns(self, recast(columns, Float.self), block, window, recast(image, Float.self))
    } else {
      scatterColumns(self, recast(columns, Double.self), block, window, recast(image, Double.self))
    }
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

@inline(__always)
private func clear<T: ConvScalar>(_ to: UnsafeMutablePointer<T>, _ count: Int) {
  if count > 0 { to.update(repeating: 0, count: count) }
}

// MARK: Building

private func buildColumns<T: ConvScalar>(
  _ geometry: Columns, _ image: UnsafePointer<T>, _ block: Columns.Block, _ columns: UnsafeMutablePointer<T>
) {
  if geometry.format == .nhwc {
    buildChannelsLast(geometry, image, block, columns)
    return
  }
  let problem = geometry.problem
  let taps = problem.filter.count
  let isShifted =
    problem.stride.w == 1 && problem.stride.h == 1 && problem.output.w == problem.input.w
    && problem.input.w <= 64
  for row in block.rows {
    let channel = image + row / taps * problem.input.count
    let to = columns + (row - block.rows.lowerBound) * block.positions.count
    let tap = Tap(problem, flattened: row % taps)
    if isShifted {
      buildShiftedRow(problem, channel, tap, block.positions, to)
    } else {
      buildRow(problem, channel, tap, block.positions, to)
    }
  }
}

/// One column row, line by line.
private func buildRow<T: ConvScalar>(
  _ problem: ConvProblem, _ channel: UnsafePointer<T>, _ tap: Tap, _ positions: Range<Int>,
  _ columns: UnsafeMutablePointer<T>
) {
  let (input, stride) = (problem.input, problem.stride)
  forEachLine(problem.output, positions) { z, p, line, index in
    let d = z * stride.d + tap.d
    let h = p * stride.h + tap.h
    let to = columns + index
    guard d >= 0, d < input.d, h >= 0, h < input.h else { return clear(to, line.count) }
    let inside = outputsReading(0, input.w, offset: tap.w, stride: stride.w, within: line)
    let before = inside.lowerBound - line.lowerBound
    clear(to, before)
    if !inside.isEmpty {
      let from = channel + (d * input.h + h) * input.w + inside.lowerBound * stride.w + tap.w
      let target = to + before
      switch stride.w {
      case 1: target.update(from: from, count: inside.count)
      case 2: for i in 0..<inside.count { target[i] = from[2 * i] }
      default: for i in 0..<inside.count { target[i] = from[stride.w * i] }
      }
    }
    clear(to + before + inside.count, line.upperBound - inside.upperBound)
  }
}

/// One column row where lines keep their length (stride 1, "same" width): consecutive lines are one shifted copy, whose elements
/// that crossed a line's end are then cleared. Worth it where lines are short.
private func buildShiftedRow<T: ConvScalar>(
  _ problem: ConvProblem, _ channel: UnsafePointer<T>, _ tap: Tap, _ positions: Range<Int>,
  _ columns: UnsafeMutablePointer<T>
) {
  let (input, width) = (problem.input, problem.input.w)
  let plane = problem.output.h * width
  let qs = outputsReading(0, width, offset: tap.w, stride: 1, within: 0..<width)
  let ps = outputsReading(0, input.h, offset: tap.h, stride: 1, within: 0..<problem.output.h)
  var position = positions.lowerBound
  while position < positions.upperBound {
    let z = position / plane
    let planeEnd = min((z + 1) * plane, positions.upperBound)
    let d = z * problem.stride.d + tap.d
    let here = position - z * plane..<planeEnd - z * plane
    let to = columns + (position - positions.lowerBound) - here.lowerBound
    position = planeEnd
    guard d >= 0, d < input.d, !qs.isEmpty, !ps.isEmpty else {
      clear(to + here.lowerBound, here.count)
      continue
    }
    let first = min(max(here.lowerBound, ps.lowerBound * width), here.upperBound)
    let end = max(min(here.upperBound, ps.upperBound * width), first)
    clear(to + here.lowerBound, first - here.lowerBound)
    clear(to + end, here.upperBound - end)
    if first == end { continue }
    // The copy begins and ends at elements that exist, so that it reads nothing outside the plane.
    let (firstLine, lastLine) = (first / width, (end - 1) / width)
    var from = max(first, firstLine * width + qs.lowerBound)
    if from >= firstLine * width + qs.upperBound { from = (firstLine + 1) * width + qs.lowerBound }
    var until = min(end, lastLine * width + qs.upperBound)
    if until <= lastLine * width + qs.lowerBound { until = (lastLine - 1) * width + qs.upperBound }
    if from < until {
      let source = channel + (d * input.h + tap.h) * width + tap.w
      (to + from).update(from: source + from, count: until - from)
    }
    for line in firstLine...lastLine {
      let (start, stop) = (line * width, line * width + width)
      clear(to, from: max(first, start), until: min(end, start + qs.lowerBound))
      clear(to, from: max(first, start + qs.upperBound), until: min(end, stop))
    }
  }
}

@inline(__always)
private func clear<T: ConvScalar>(_ to: UnsafeMutablePointer<T>, from: Int, until: Int) {
  var index = from
  while index < until {
    to[index] = 0
    index += 1
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
      let to = columns + (index + q - line.lowerBound) * block.rows.count - block.rows.lowerBound
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

private func scatterColumns<T: ConvScalar>(
  _ geometry: Columns, _ columns: UnsafePointer<T>, _ block: Columns.Block, _ window: Columns.Window,
  _ image: UnsafeMutablePointer<T>
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
    let source = columns + (row - block.rows.lowerBound) * block.positions.count
    let tap = Tap(problem, flattened: row % taps)
    forEachLine(problem.output, block.positions) { z, p, line, index in
      let d = z * stride.d + tap.d
      let h = p * stride.h + tap.h
      guard d >= window.lower.d, d < window.upper.d, h >= window.lower.h, h < window.upper.h else { return }
      let inside = outputsReading(
        window.lower.w, window.upper.w, offset: tap.w, stride: stride.w, within: line)
      if inside.isEmpty { return }
      let from = source + index + inside.lowerBound - line.lowerBound
      let to = channel + (d * input.h + h) * input.w + inside.lowerBound * stride.w + tap.w
      if stride.w == 1 {
        for i in 0..<inside.count { to[i] += from[i] }
      } else {
        for i in 0..<inside.count { to[i * stride.w] += from[i] }
      }
    }
  }
}

private func scatterChannelsLast<T: ConvScalar>(
  _ geometry: Columns, _ columns: UnsafePointer<T>, _ block: Columns.Block, _ window: Columns.Window,
  _ image: UnsafeMutablePointer<T>
) {
  forEachLine(geometry.problem.output, block.positions) { z, p, line, index in
    for q in line {
      let source = columns + (index + q - line.lowerBound) * block.rows.count - block.rows.lowerBound
      forEachRun(geometry.problem, z: z, p: p, q: q, rows: block.rows, window: window) { row, count, offset in
        guard let offset else { return }
        let (from, to) = (source + row, image + offset)
        for i in 0..<count { to[i] += from[i] }
      }
    }
  }
}
