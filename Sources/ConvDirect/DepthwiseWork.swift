import ConvCore

/// What a depthwise plan does: nothing is reused, so that the images' bytes count as much as the FLOPs.
///
/// Channels last, vectors are of channels; each row of windows, and each window that reaches into the padding, is a call. In planes,
/// vectors are of neighbouring windows, over a copy of some rows with their padding.
///
/// - Parameters:
///   - bands: Pieces that a plane or image is cut into.
///   - planes: The copy of one piece; nil where channels are last.
func depthwiseWork(
  _ operation: ConvOperation, lanes: Int, bands: Int, rows: [AxisPhase], columns: [AxisPhase],
  planes: PaddedPlane?
) -> ConvWork {
  let problem = operation.problem
  let (size, lanes) = (Double(operation.elementType.byteCount), Double(lanes))
  func whole(_ count: Int) -> Double { (Double(count) / lanes).rounded(.up) * lanes }
  let isBackward = operation.pass == .backwardData
  let operands = operation.operandBytes
  let input = Double(problem.n * problem.c * problem.input.count) * size
  let output = Double(problem.n * problem.k * problem.output.count) * size
  var work = ConvWork()
  work.add(.moved, input + output, of: operands)
  guard let planes else {
    let taps = rows.reduce(0.0) { sum, row in
      sum + columns.reduce(0.0) { $0 + Double(row.count * row.offsets) * Double($1.count * $1.offsets) }
    }
    work[.windows] = 2 * Double(problem.n) * taps * whole(problem.k)
    let edges = columns.reduce(0) { sum, column in
      let inner = column.interior(extent: isBackward ? problem.output.w : problem.input.w)
      return sum + column.count - inner.count + 1
    }
    let calls = Double(problem.n * rows.reduce(0) { $0 + $1.count }) * Double(edges)
    work[.calls] = calls * (operation.pass == .backwardFilter ? Double(divideUp(problem.k, 64)) : 1)
    return work
  }
  let units = Double(problem.n * problem.k)
  let taps = rows.reduce(0.0) { sum, row in
    sum + columns.reduce(0.0) { $0 + Double(row.count * row.offsets * $1.offsets) * whole($1.count) }
  }
  work[.windows] = 2 * units * taps
  work[.calls] = units * Double(bands * rows.count * columns.count)
  // The copy is filled line by line, and element by element where a stride parts its columns.
  let copies = (isBackward ? units : Double(problem.n * problem.c)) * Double(bands)
  let lines = copies * Double(planes.height * planes.step)
  // A line is zeros, elements, zeros.
  work[.runs] = 3 * lines + units * Double(rows.reduce(0) { $0 + $1.count } * columns.count)
  let copied = copies * Double(planes.count) * size
  if planes.step == 1 { work[.moved] += 2 * copied } else { work[.gathered] += copied }
  // Targets of one phase lie apart.
  if columns.count > 1 { work[.gathered] += isBackward ? input : output }
  return work
}
