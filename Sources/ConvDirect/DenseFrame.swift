internal import CConvKernels
import ConvCore

/// One execution of a `DensePlan`.
struct DenseFrame<T: DirectScalar> {
  let plan: DensePlan<T>
  /// x or dy.
  let x: UnsafePointer<T>
  let panels: UnsafePointer<T>
  /// y or dx.
  let y: UnsafeMutablePointer<T>
  /// As wide as the panels.
  let bias: UnsafePointer<T>?
  /// `DenseWeights.owners`.
  let owners: UnsafeBufferPointer<Int>

  /// All targets of steps `down` × `across` of every pair of phases, in one image and group.
  func piece(
    image: Int, group: Int, _ down: Range<Int>, _ across: Range<Int>, _ scratch: UnsafeMutablePointer<T>?
  ) {
    let (window, weights) = (plan.window, plan.weights)
    let view = window.view(
      plan.kernels, x + image * window.extent.count * window.channels, group: group,
      rows: unionOfReaches(plan.rows, down), columns: unionOfReaches(plan.columns, across), copy: scratch)
    let offsetCount = (plan.rows.map(\.offsets).max() ?? 0) * (plan.columns.map(\.offsets).max() ?? 0)
    let strip = scratch.map { $0 + plan.copyCount }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: max(1, offsetCount)) { list in
      guard let offsets = list.baseAddress else { return }
      for (rowIndex, row) in plan.rows.enumerated() {
        let steps = down.clamped(to: 0..<row.count)
        for panel in 0..<weights.panels {
          if plan.storesDirectly {
            for columnIndex in plan.columns.indices {
              var shape = setUp(row, plan.columns[columnIndex], view, offsets)
              shape.width = weights.width(panel)
              for step in steps {
                direct(&shape, image, group, rowIndex, columnIndex, panel, step, across, view)
              }
            }
          } else if let strip {
            for step in steps {
              throughStrip(image, group, rowIndex, panel, step, across, view, offsets, strip)
            }
          }
        }
      }
    }
  }

  /// The shape of the windows of a pair of phases: a run per row, or per tap where taps are apart.
  private func setUp(
    _ row: AxisPhase, _ column: AxisPhase, _ view: ImageWindow.View<T>, _ offsets: UnsafeMutablePointer<Int>
  ) -> vb_implicit {
    let channels = plan.weights.sources
    let isDense = column.dilation == 1
    let runs = isDense ? 1 : column.offsets
    var shape = vb_implicit()
    shape.segments = column.offsets == 0 ? 0 : row.offsets * runs
    shape.length = isDense ? column.offsets * channels : channels
    for r in 0..<row.offsets {
      for run in 0..<runs where column.offsets > 0 {
        offsets[r * runs + run] = r * row.dilation * view.pitch + run * column.dilation * channels
      }
    }
    shape.offsets = UnsafePointer(offsets)
    shape.row_step = column.sourceStep * channels
    shape.term_step = 1
    shape.parts = owners.isEmpty ? 0 : column.offsets
    shape.owners = owners.baseAddress
    shape.relu = plan.operation.epilogue.relu ? 1 : 0
    return shape
  }

  /// Where the window of (step, first) of a pair of phases begins.
  private func origin(
    _ view: ImageWindow.View<T>, _ row: AxisPhase, _ column: AxisPhase, _ step: Int, _ first: Int
  ) -> UnsafePointer<T> {
    if row.offsets == 0 || column.offsets == 0 { return view.start }
    let line = row.sourceFirst + step * row.sourceStep - view.firstRow
    let at = column.sourceFirst + first * column.sourceStep - view.firstColumn
    return view.start + line * view.pitch + at * plan.weights.sources
  }

  private func panelStart(_ group: Int, _ row: Int, _ column: Int, _ panel: Int) -> UnsafePointer<T> {
    panels + plan.weights.start(group: group, row: row, column: column, panel: panel)
  }

  private func panelBias(_ group: Int, _ panel: Int) -> UnsafePointer<T>? {
    bias.map { $0 + (group * plan.weights.panels + panel) * plan.weights.panel }
  }

  private func direct(
    _ shape: inout vb_implicit, _ image: Int, _ group: Int, _ rowIndex: Int, _ columnIndex: Int, _ panel: Int,
    _ step: Int, _ across: Range<Int>, _ view: ImageWindow.View<T>
  ) {
    let (row, column) = (plan.rows[rowIndex], plan.columns[columnIndex])
    let own = across.clamped(to: 0..<column.count)
    let channels = plan.targetChannels
    shape.rows = own.count
    shape.result_step = column.targetStep * channels
    shape.accumulate = plan.operation.epilogue.accumulate ? 1 : 0
    let line = image * plan.target.h + row.targetFirst + step * row.targetStep
    let pixel = line * plan.target.w + column.targetFirst + own.lowerBound * column.targetStep
    T.implicit(
      plan.kernels, &shape, origin(view, row, column, step, own.lowerBound),
      panelStart(group, rowIndex, columnIndex, panel), panelBias(group, panel),
      y + pixel * channels + group * plan.weights.targets + panel * plan.weights.panel)
  }

  /// One row of one panel into a strip [targets][channels of the panel], and from there to where it belongs.
  private func throughStrip(
    _ image: Int, _ group: Int, _ rowIndex: Int, _ panel: Int, _ step: Int, _ across: Range<Int>,
    _ view: ImageWindow.View<T>, _ offsets: UnsafeMutablePointer<Int>, _ strip: UnsafeMutablePointer<T>
  ) {
    let (weights, row) = (plan.weights, plan.rows[rowIndex])
    let isBlocked = plan.columns[0].block > 1
    let width = isBlocked ? weights.targets : weights.width(panel)
    let phases = plan.columns.filter { across.lowerBound < $0.count }
    let first = phases.map { $0.targetFirst + across.lowerBound * $0.targetStep }.min() ?? 0
    var end = first
    for (columnIndex, column) in plan.columns.enumerated() {
      let own = across.clamped(to: 0..<column.count)
      if own.isEmpty { continue }
      let start = column.targetFirst + own.lowerBound * column.targetStep
      end = max(end, start + (own.count - 1) * column.targetStep + column.block)
      var shape = setUp(row, column, view, offsets)
      shape.rows = own.count
      shape.width = weights.width(panel)
      shape.result_step = column.targetStep * width
      T.implicit(
        plan.kernels, &shape, origin(view, row, column, step, own.lowerBound),
        panelStart(group, rowIndex, columnIndex, panel), panelBias(group, panel),
        strip + (start - first) * width)
    }
    let inside = (first..<max(first, end)).clamped(to: 0..<plan.target.w)
    if inside.isEmpty { return }
    let from = UnsafePointer(strip) + (inside.lowerBound - first) * width
    let channel = group * weights.targets + panel * weights.panel
    let line = row.targetFirst + step * row.targetStep
    let pixel = line * plan.target.w + inside.lowerBound
    store(from, width, inside.count, image, channel, pixel)
  }

  private func store(
    _ from: UnsafePointer<T>, _ width: Int, _ count: Int, _ image: Int, _ channel: Int, _ pixel: Int
  ) {
    let (channels, area) = (plan.targetChannels, plan.target.count)
    let accumulate = plan.operation.epilogue.accumulate
    if plan.targetFormat == .nhwc {
      let to = y + (image * area + pixel) * channels + channel
      if width == channels && !accumulate {
        to.update(from: from, count: count * width)
        return
      }
      for i in 0..<count {
        let (a, b) = (from + i * width, to + i * channels)
        for j in 0..<width { b[j] = accumulate ? b[j] + a[j] : a[j] }
      }
      return
    }
    let to = y + (image * channels + channel) * area + pixel
    if accumulate {
      for j in 0..<width {
        for i in 0..<count { to[j * area + i] += from[i * width + j] }
      }
    } else {
      T.transpose(plan.kernels, count, width, from, width, to, area)
    }
  }
}
