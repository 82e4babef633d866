import ConvCore

/// Weights of a dense correlation in panels, one matrix per group and pair of phases: its rows are the terms of a window (row
/// offset, column offset, source channel), its columns the target channels, of all targets of a block.
struct DenseWeights: Sendable {
  let rows, columns: [AxisPhase]
  let groups: Int
  /// Channels of one group.
  let sources, targets: Int
  /// Columns of a panel.
  let panel: Int
  /// Whether sources are the filter's output channels.
  let isBackward: Bool
  /// Element strides of the filter along K, C/g, R, S.
  private let strides: [Int]
  /// Whether one group's matrix is the transposed filter as it lies in memory.
  private let isTransposedFilter: Bool
  /// Where the matrix of a pair begins in its group.
  private let starts: [Int]
  /// Elements of one group.
  private let groupCount: Int
  /// For each offset of a block the panel's columns of the targets that read it, as first and end; empty where targets come alone.
  let owners: [Int]

  init(_ operation: ConvOperation, _ rows: [AxisPhase], _ columns: [AxisPhase], panel: Int) {
    let problem = operation.problem
    self.rows = rows
    self.columns = columns
    self.panel = panel
    groups = problem.groups
    isBackward = operation.pass == .backwardData
    sources = isBackward ? problem.kPerGroup : problem.cPerGroup
    targets = isBackward ? problem.cPerGroup : problem.kPerGroup
    strides = operation.filterFormat.strides(of: problem.filterShape)
    let block = columns.first?.block ?? 1
    isTransposedFilter =
      !isBackward && block == 1 && (operation.filterFormat == .nhwc || problem.filter.count == 1)
    var (starts, next) = ([Int](), 0)
    for row in rows {
      for column in columns {
        starts.append(next)
        let depth = saturatingProduct(row.offsets * column.offsets, sources)
        let width = divideUp(column.block * targets, panel) * panel
        let (sum, overflow) = next.addingReportingOverflow(saturatingProduct(depth, width))
        next = overflow ? .max : sum
      }
    }
    self.starts = starts
    groupCount = next
    let targets = targets
    owners =
      block == 1
      ? []
      : (0..<columns[0].offsets).map(columns[0].owners).flatMap {
        [$0.lowerBound * targets, $0.upperBound * targets]
      }
  }

  /// Elements of all groups, or the largest number where that overflows.
  var count: Int { saturatingProduct(groups, groupCount) }
  /// Panels of one pair's matrix.
  var panels: Int { divideUp((columns.first?.block ?? 1) * targets, panel) }
  /// Columns of panel `index` that are in use.
  func width(_ index: Int) -> Int { min(panel, (columns.first?.block ?? 1) * targets - index * panel) }

  /// Where panel `index` of a group's pair begins.
  func start(group: Int, row: Int, column: Int, panel index: Int) -> Int {
    let depth = rows[row].offsets * columns[column].offsets * sources
    return group * groupCount + starts[row * columns.count + column] + index * depth * panel
  }

  /// The work of `pack`.
  func packing(elementBytes: Double, of operands: Double) -> ConvWork {
    let bytes = Double(count) * elementBytes
    var work = ConvWork([.calls: Double(groups * rows.count * columns.count * panels)])
    if isTransposedFilter {
      work.add(.reordered, bytes, of: operands)
    } else if (isBackward ? strides[1] : strides[0]) == 1 {
      work.add(.moved, 2 * bytes, of: operands)
    } else {
      // Whole lines are read for single elements.
      work.add(.gathered, 4 * bytes, of: operands)
    }
    return work
  }

  /// Writes all panels.
  func pack<T: DirectScalar>(
    _ kernels: Kernels, _ filter: UnsafePointer<T>, to packed: UnsafeMutablePointer<T>, _ pool: WorkerPool
  ) {
    let pairs = rows.count * columns.count
    pool.parallelFor(groups * pairs * panels) { task in
      let (index, pair, group) = (task % panels, task / panels % pairs, task / panels / pairs)
      let (row, column) = (pair / columns.count, pair % columns.count)
      let to = packed + start(group: group, row: row, column: column, panel: index)
      if isTransposedFilter {
        let depth = rows[row].offsets * columns[column].offsets * sources
        let from = filter + (group * targets + index * panel) * depth
        T.pack(kernels, depth, width(index), from, depth, transposed: true, to)
      } else {
        fill(to, filter, group, rows[row], columns[column], index)
      }
    }
  }

  private func fill<T: DirectScalar>(
    _ to: UnsafeMutablePointer<T>, _ filter: UnsafePointer<T>, _ group: Int, _ row: AxisPhase,
    _ column: AxisPhase, _ index: Int
  ) {
    let first = index * panel
    // A filter's output channels count over all groups, its input channels in their own.
    let (sourceStep, targetStep) = isBackward ? (strides[0], strides[1]) : (strides[1], strides[0])
    let origin = filter + group * (isBackward ? sources : targets) * strides[0]
    for r in 0..<row.offsets {
      for o in 0..<column.offsets {
        let line = to + (r * column.offsets + o) * sources * panel
        line.update(repeating: 0, count: sources * panel)
        for block in 0..<column.block {
          let tap = column.taps[block * column.offsets + o]
          let own = (block * targets..<(block + 1) * targets).clamped(to: first..<first + width(index))
          if tap < 0 || own.isEmpty { continue }
          let from =
            origin + row.taps[r] * strides[2] + tap * strides[3]
            + (own.lowerBound - block * targets) * targetStep
          let into = line + own.lowerBound - first
          for c in 0..<sources {
            let (a, b) = (from + c * sourceStep, into + c * panel)
            if targetStep == 1 {
              b.update(from: a, count: own.count)
            } else {
              for j in 0..<own.count { b[j] = a[j * targetStep] }
            }
          }
        }
      }
    }
  }

  /// One bias per column of a group's panels, zeros in unused columns.
  func spread<T: DirectScalar>(_ bias: UnsafePointer<T>, to padded: UnsafeMutablePointer<T>) {
    let width = panels * panel
    padded.update(repeating: 0, count: groups * width)
    for group in 0..<groups {
      for j in 0..<(columns.first?.block ?? 1) * targets {
        padded[group * width + j] = bias[group * targets + j % targets]
      }
    }
  }
}
