import ConvCore

/// One dense or stride-1 part of a problem, as the core's lowerings cut it out, with the rows of a grid that fall into it.
struct SubProblem {
  /// The part's own operands.
  let data: ProblemData
  /// The part's rows for some rows of the whole grid.
  let rows: [SampleGrid.Row]
  /// For each of `rows` its index among the whole grid's rows.
  let wholeRows: [Int]
}

/// Cuts problems as `ErrorModel.polyphase` describes it.
struct SubProblems {
  private let data: ProblemData
  private let grid: SampleGrid

  init(data: ProblemData, grid: SampleGrid) {
    self.data = data
    self.grid = grid
  }

  // MARK: Phases of a stride

  /// The stride-1 parts of a problem with dilation 1 in height and width, in row-major order of the phases.
  func phases() throws -> [SubProblem] {
    let pr = grid.problem
    var result: [SubProblem] = []
    for a in 0..<min(pr.stride.h, pr.filter.h) {
      for b in 0..<min(pr.stride.w, pr.filter.w) { result.append(try phase(a, b)) }
    }
    return result
  }

  private func phase(_ a: Int, _ b: Int) throws -> SubProblem {
    let pr = grid.problem
    let first = [0, a, b]
    var taps = pr.filter
    var input = pr.input
    var stride = pr.stride
    var padding = pr.padding
    (padding.top, padding.bottom, padding.left, padding.right) = (0, 0, 0, 0)
    for axis in 1..<3 {
      taps[axis] = (pr.filter[axis] - first[axis] + pr.stride[axis] - 1) / pr.stride[axis]
      input[axis] = pr.output[axis] + taps[axis] - 1
      stride[axis] = 1
    }
    let problem = try ConvProblem(
      spatialRank: pr.spatialRank, n: pr.n, c: pr.c, k: pr.k, groups: pr.groups, input: input, filter: taps,
      stride: stride, padding: padding, dilation: pr.dilation)
    let x = try gather(
      data.input, planes: pr.n * pr.c * pr.input.d, pr.input, shape: problem.inputShape, problem.input,
      start: [a - pr.padding.top, b - pr.padding.left], step: [pr.stride.h, pr.stride.w])
    let w = try gather(
      data.filter, planes: pr.k * pr.cPerGroup * pr.filter.d, pr.filter, shape: problem.filterShape, taps,
      start: [a, b], step: [pr.stride.h, pr.stride.w])
    var rows: [SampleGrid.Row] = []
    var wholeRows: [Int] = []
    for (index, row) in grid.rows.enumerated() {
      guard let at = place(row.at, phase: first, in: problem) else { continue }
      rows.append(SampleGrid.Row(first: row.first, at: at))
      wholeRows.append(index)
    }
    return SubProblem(
      data: try ProblemData(problem: problem, input: x, filter: w, outputGradient: data.outputGradient),
      rows: rows, wholeRows: wholeRows)
  }

  /// Where a result lies in a phase, nil where the phase does not contribute to it.
  private func place(_ at: Extent, phase: [Int], in problem: ConvProblem) -> Extent? {
    let pr = grid.problem
    var result = at
    for axis in 1..<3 {
      switch grid.pass {
      case .forward:
        break
      case .backwardData:
        let padded = at[axis] + pr.padding.before[axis]
        guard padded % pr.stride[axis] == phase[axis], padded / pr.stride[axis] < problem.input[axis]
        else { return nil }
        result[axis] = padded / pr.stride[axis]
      case .backwardFilter:
        guard at[axis] % pr.stride[axis] == phase[axis] else { return nil }
        result[axis] = at[axis] / pr.stride[axis]
      }
    }
    return result
  }

  // MARK: Residues of a dilation

  /// The dense problem that a dilated one is, with the residue classes as a larger batch.
  func densified() throws -> SubProblem {
    let pr = grid.problem
    let axes = (0..<3).map { Axis(pr, axis: $0) }
    var input = pr.input
    var stride = pr.stride
    var output = pr.output
    for axis in 1..<3 {
      input[axis] = axes[axis].inputs
      stride[axis] = axes[axis].stride
      output[axis] = axes[axis].outputs
    }
    let classes = axes[1].classes * axes[2].classes
    var padding = pr.padding
    (padding.top, padding.bottom, padding.left, padding.right) = (0, 0, 0, 0)
    let problem = try ConvProblem(
      spatialRank: pr.spatialRank, n: pr.n * classes, c: pr.c, k: pr.k, groups: pr.groups, input: input,
      filter: pr.filter, stride: stride, padding: padding, dilation: Extent(d: pr.dilation.d, w: 1))
    var inputShape = problem.inputShape
    var outputShape = problem.outputShape
    (inputShape[0], outputShape[0]) = (pr.n, pr.n)
    var xs: [Tensor] = []
    var dys: [Tensor] = []
    for i in 0..<axes[1].classes {
      for j in 0..<axes[2].classes {
        xs.append(
          try gather(
            data.input, planes: pr.n * pr.c * pr.input.d, pr.input, shape: inputShape, input,
            start: [i * pr.stride.h - pr.padding.top, j * pr.stride.w - pr.padding.left],
            step: [pr.dilation.h, pr.dilation.w]))
        dys.append(
          try gather(
            data.outputGradient, planes: pr.n * pr.k * pr.output.d, pr.output, shape: outputShape, output,
            start: [i, j], step: [axes[1].outputStep, axes[2].outputStep]))
      }
    }
    var rows: [SampleGrid.Row] = []
    var wholeRows: [Int] = []
    for (index, row) in grid.rows.enumerated() {
      guard let part = part(row, axes) else { continue }
      rows.append(part)
      wholeRows.append(index)
    }
    return SubProblem(
      data: try ProblemData(
        problem: problem, input: joined(xs, problem.inputShape), filter: data.filter,
        outputGradient: joined(dys, problem.outputShape)),
      rows: rows, wholeRows: wholeRows)
  }

  /// How one axis of a dilated problem falls into dense ones: output p of class p mod (l/g), g = gcd(u, l).
  private struct Axis {
    let classes, outputs, inputs, stride, outputStep: Int

    init(_ problem: ConvProblem, axis: Int) {
      var (a, b) = (problem.stride[axis], problem.dilation[axis])
      while b != 0 { (a, b) = (b, a % b) }
      outputStep = problem.dilation[axis] / a
      stride = problem.stride[axis] / a
      classes = min(outputStep, problem.output[axis])
      outputs = (problem.output[axis] + outputStep - 1) / outputStep
      inputs = (outputs - 1) * stride + problem.filter[axis]
    }
  }

  private func part(_ row: SampleGrid.Row, _ axes: [Axis]) -> SampleGrid.Row? {
    let pr = grid.problem
    if grid.pass == .backwardFilter { return row }
    var at = row.at
    var classes = [0, 0, 0]
    for axis in 1..<3 {
      if grid.pass == .forward {
        classes[axis] = at[axis] % axes[axis].outputStep
        at[axis] /= axes[axis].outputStep
        continue
      }
      let padded = at[axis] + pr.padding.before[axis]
      let found = (0..<axes[axis].classes).first {
        let distance = padded - $0 * pr.stride[axis]
        return distance >= 0 && distance % pr.dilation[axis] == 0
          && distance / pr.dilation[axis] < axes[axis].inputs
      }
      guard let found else { return nil }
      classes[axis] = found
      at[axis] = (padded - found * pr.stride[axis]) / pr.dilation[axis]
    }
    let image = (classes[1] * axes[2].classes + classes[2]) * pr.n + row.first
    return SampleGrid.Row(first: image, at: at)
  }

  // MARK: Copies

  /// Every `step`-th element from `start` on of each plane, zero outside.
  private func gather(
    _ source: Tensor, planes: Int, _ from: Extent, shape: [Int], _ to: Extent, start: [Int], step: [Int]
  ) throws -> Tensor {
    func copy<T: ConvScalar>(_: T.Type) throws -> Tensor {
      var result = try Tensor.zeros(shape, elementType: source.elementType)
      source.withUnsafePointer(as: T.self) { from0 in
        result.withUnsafeMutablePointer(as: T.self) { to0 in
          for plane in 0..<planes {
            let (src, dst) = (from0 + plane * from.h * from.w, to0 + plane * to.h * to.w)
            for i in 0..<to.h {
              let h = start[0] + i * step[0]
              guard h >= 0, h < from.h else { continue }
              for j in 0..<to.w {
                let w = start[1] + j * step[1]
                if w >= 0 && w < from.w { dst[i * to.w + j] = src[h * from.w + w] }
              }
            }
          }
        }
      }
      return result
    }
    return try source.elementType == .float64 ? copy(Double.self) : copy(Float.self)
  }

  private func joined(_ parts: [Tensor], _ shape: [Int]) throws -> Tensor {
    var result = try Tensor(uninitialized: shape, elementType: data.elementType)
    result.withUnsafeMutableRawPointer { to in
      var offset = 0
      for part in parts {
        part.withUnsafeRawPointer { (to + offset).copyMemory(from: $0, byteCount: part.byteCount) }
        offset += part.byteCount
      }
    }
    return result
  }
}
