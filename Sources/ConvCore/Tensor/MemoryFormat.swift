/// The physical order of a tensor whose logical order is N, C, (D,) (H,) W — or K, C/g, (T,) (R,) S for filters.
///
/// The names are those of the 4-D case; `.nhwc` means "channels last" for ranks 3 to 5.
public enum MemoryFormat: String, Sendable, Hashable, CaseIterable {
  /// Channels before the spatial dimensions: the logical order itself (KCRS for filters).
  case nchw
  /// Channels last (KRSC for filters).
  case nhwc

  /// Element strides of a dense tensor of `shape` (logical order) in this format.
  public func strides(of shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    guard shape.count > 0 else { return strides }
    var order = Array(shape.indices)
    if self == .nhwc && shape.count > 2 { order.append(order.remove(at: 1)) }
    var step = 1
    for axis in order.reversed() {
      strides[axis] = step
      step *= shape[axis]
    }
    return strides
  }

  /// Pieces that the conversion of one image is cut into: its matrix of `rows` rows in strips.
  static func conversionTasks(rows: Int) -> Int { (rows + rowsPerTask - 1) / rowsPerTask }

  /// Rewrites a dense tensor of logical `shape` from one format to another.
  ///
  /// Source and destination must not overlap and hold `shape`'s element count of `elementType`.
  public static func convert(
    _ source: UnsafeRawPointer, from: MemoryFormat, to destination: UnsafeMutableRawPointer,
    as format: MemoryFormat, shape: [Int], elementType: ElementType, pool: WorkerPool
  ) {
    let outer = shape.first ?? 1
    let channels = shape.count > 1 ? shape[1] : 1
    let plane = shape.dropFirst(2).reduce(1, *)
    if from == format || channels <= 1 || plane <= 1 {
      destination.copyMemory(from: source, byteCount: shape.reduce(1, *) * elementType.byteCount)
      return
    }
    // One image is a matrix [C][plane] (nchw) or [plane][C] (nhwc): the conversion is a transposition.
    let (rows, columns) = from == .nchw ? (channels, plane) : (plane, channels)
    switch elementType.byteCount {
    case 4:
      transpose(
        source.assumingMemoryBound(to: Float.self), destination.assumingMemoryBound(to: Float.self),
        outer, rows, columns, pool)
    case 8:
      transpose(
        source.assumingMemoryBound(to: Double.self), destination.assumingMemoryBound(to: Double.self),
        outer, rows, columns, pool)
    default:
      transpose(
        source.assumingMemoryBound(to: UInt8.self), destination.assumingMemoryBound(to: UInt8.self),
        outer, rows, columns, pool)
    }
  }
}

/// Transposes `outer` row-major matrices [rows][columns], some rows per task, through registers. Words of any type: moves keep bits.
private func transpose<T: ConvScalar>(
  _ source: UnsafePointer<T>, _ destination: UnsafeMutablePointer<T>, _ outer: Int, _ rows: Int,
  _ columns: Int, _ pool: WorkerPool
) {
  let kernel = KernelMatrixMultiplier()
  let block = rowsPerTask
  let rowBlocks = (rows + block - 1) / block
  pool.parallelFor(outer * rowBlocks) { task in
    let (image, first) = (task / rowBlocks, task % rowBlocks * block)
    let offset = image * rows * columns
    kernel.transpose(
      rows: min(block, rows - first), columns: columns, source: source + offset + first * columns,
      lds: columns, target: destination + offset + first, ldt: rows)
  }
}

private let rowsPerTask = 16

/// The same for bytes, in square blocks that stay in the L1 cache.
private func transpose(
  _ source: UnsafePointer<UInt8>, _ destination: UnsafeMutablePointer<UInt8>,
  _ outer: Int, _ rows: Int, _ columns: Int, _ pool: WorkerPool
) {
  let block = rowsPerTask
  let rowBlocks = (rows + block - 1) / block
  pool.parallelFor(outer * rowBlocks) { task in
    let image = task / rowBlocks
    let firstRow = task % rowBlocks * block
    let endRow = min(rows, firstRow + block)
    let from = source + image * rows * columns
    let to = destination + image * rows * columns
    var firstColumn = 0
    while firstColumn < columns {
      let endColumn = min(columns, firstColumn + block)
      for column in firstColumn..<endColumn {
        for row in firstRow..<endRow {
          to[column * rows + row] = from[row * columns + column]
        }
      }
      firstColumn = endColumn
    }
  }
}
