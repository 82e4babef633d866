import ConvCore

/// What a depthwise plan does: nothing is reused, so that the images' bytes count as much as the FLOPs. NCHW planes are copied with
/// their padding first.
func depthwiseWork(_ operation: ConvOperation) -> ConvWork {
  let problem = operation.problem
  let size = Double(operation.elementType.byteCount)
  let input = Double(problem.n * problem.c * problem.input.count) * size
  let output = Double(problem.n * problem.k * problem.output.count) * size
  var work = ConvWork([.windows: problem.directFLOPs, .moved: input + output])
  if operation.inputFormat == .nchw { work[.moved] += 2 * (operation.pass == .backwardData ? output : input) }
  work[.calls] = Double(problem.n * problem.output.h)
  return work
}
