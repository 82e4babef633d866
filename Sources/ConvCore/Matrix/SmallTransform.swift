internal import CConvKernels

/// Where a two-dimensional transform reads and writes. Strides are in elements.
public struct TransformLayout: Sendable, Hashable {
  /// Channels, contiguous on both sides.
  public var channels: Int
  /// Stride from one row of the input tile to the next.
  public var inputRowStride: Int
  /// Stride from one column of the input tile to the next.
  public var inputColumnStride: Int
  /// Stride from one row of the output tile to the next (scatter to planes: columns · plane stride).
  public var outputRowStride: Int
  /// Stride from one column of the output tile to the next (scatter to planes: the plane stride).
  public var outputColumnStride: Int
  /// Rows of the input tile that exist; the others count as 0. nil: all.
  public var rows: Range<Int>?
  /// Columns of the input tile that exist; the others count as 0. nil: all.
  public var columns: Range<Int>?
  /// Output rows wanted, from the first one on. nil: all.
  public var outputRows: Int?
  /// Output columns wanted, from the first one on. nil: all.
  public var outputColumns: Int?
  /// Columns to the right of the tile that the next call reads; they are fetched into the cache meanwhile.
  public var prefetchColumns = 0
  /// Add to what is in the output.
  public var accumulate = false
  /// Clamp below at 0, after the bias.
  public var relu = false

  /// A layout for whole tiles.
  public init(
    channels: Int, inputRowStride: Int, inputColumnStride: Int, outputRowStride: Int, outputColumnStride: Int
  ) {
    self.channels = channels
    self.inputRowStride = inputRowStride
    self.inputColumnStride = inputColumnStride
    self.outputRowStride = outputRowStride
    self.outputColumnStride = outputColumnStride
  }
}

/// A small constant matrix that is applied to blocks whose innermost axis is a run of channels: the transforms of
/// Winograd's algorithm (Lavin, Gray: *Fast algorithms for convolutional neural networks*, 2016).
///
/// Zero coefficients cost nothing. Sums run over the columns in order, with one accumulator.
public final class SmallTransform: @unchecked Sendable {
  /// Rows of the matrix: outputs.
  public let rows: Int
  /// Columns of the matrix: inputs.
  public let columns: Int
  /// The coefficients, row-major.
  public let coefficients: [Double]
  /// The instruction set that it runs on.
  public let instructionSet: InstructionSet

  private let program: UnsafeMutablePointer<vb_transform>
  private let kernels: OpaquePointer

  /// Largest number of rows or columns.
  public static let maximumSize = 16

  /// Compiles `coefficients`, row-major.
  ///
  /// - Precondition: rows and columns are in 1...16 and there are rows · columns coefficients;
  ///   `instructionSet` is available.
  public init(
    rows: Int, columns: Int, _ coefficients: [Double], instructionSet: InstructionSet = .current
  ) {
    precondition(
      (1...SmallTransform.maximumSize).contains(rows) && (1...SmallTransform.maximumSize).contains(columns),
      "SmallTransform: \(rows)×\(columns) is beyond \(SmallTransform.maximumSize)×\(SmallTransform.maximumSize)"
    )
    precondition(
      coefficients.count == rows * columns,
      "SmallTransform: \(coefficients.count) coefficients for \(rows)×\(columns)")
    guard let kernels = instructionSet.kernels else {
      preconditionFailure("SmallTransform: \(instructionSet) is not available on this CPU")
    }
    self.rows = rows
    self.columns = columns
    self.coefficients = coefficients
    self.instructionSet = instructionSet
    self.kernels = kernels
    program = .allocate(capacity: 1)
    program.initialize(to: vb_transform())
    vb_transform_init(program, rows, columns, coefficients)
  }

  deinit { program.deallocate() }

  /// out[i · outputStride + c] = Σⱼ M[i, j] · input[j · inputStride + c] for c < channels.
  public func apply<T: ConvScalar>(
    channels: Int, input: UnsafePointer<T>, inputStride: Int, output: UnsafeMutablePointer<T>,
    outputStride: Int
  ) {
    if T.self == Float.self {
      vb_transform_1d_f32(
        kernels, program, channels, recast(input), inputStride, recast(output), outputStride)
    } else {
      requireDouble(T.self)
      vb_transform_1d_f64(
        kernels, program, channels, recast(input), inputStride, recast(output), outputStride)
    }
  }

  /// output = or += self · tile · rightᵀ, for a tile [self.columns][right.columns][channels]; the result is
  /// [self.rows][right.rows][channels].
  ///
  /// With `bias`, bias[c] is added. `input` names the first element that exists: that of row
  /// `layout.rows.lowerBound` and column `layout.columns.lowerBound`. Input and output do not overlap.
  ///
  /// - Precondition: the layout's ranges lie within the matrices' sizes and both transforms run on one instruction
  ///   set.
  public func apply<T: ConvScalar>(
    right: SmallTransform, _ layout: TransformLayout, input: UnsafePointer<T>,
    output: UnsafeMutablePointer<T>,
    bias: UnsafePointer<T>? = nil
  ) {
    let height = layout.rows ?? 0..<columns
    let width = layout.columns ?? 0..<right.columns
    let outputRows = layout.outputRows ?? rows
    let outputColumns = layout.outputColumns ?? right.rows
    precondition(
      height.lowerBound >= 0 && height.upperBound <= columns && width.lowerBound >= 0
        && width.upperBound <= right.columns && (0...rows).contains(outputRows)
        && (0...right.rows).contains(outputColumns) && kernels == right.kernels && layout.channels >= 0,
      "SmallTransform: \(layout) does not fit \(rows)×\(columns) and \(right.rows)×\(right.columns)")
    var y = vb_transform_layout()
    y.n = layout.channels
    y.in_row = layout.inputRowStride
    y.in_column = layout.inputColumnStride
    y.out_row = layout.outputRowStride
    y.out_column = layout.outputColumnStride
    y.row0 = UInt32(height.lowerBound)
    y.row1 = UInt32(height.upperBound)
    y.column0 = UInt32(width.lowerBound)
    y.column1 = UInt32(width.upperBound)
    y.out_rows = UInt32(outputRows)
    y.out_columns = UInt32(outputColumns)
    y.prefetch_columns = UInt32(max(0, layout.prefetchColumns))
    y.accumulate = layout.accumulate ? 1 : 0
    y.relu = layout.relu ? 1 : 0
    if T.self == Float.self {
      vb_transform_2d_f32(
        kernels, program, right.program, &y, recast(input), recast(output), bias.map { recast($0) })
    } else {
      requireDouble(T.self)
      vb_transform_2d_f64(
        kernels, program, right.program, &y, recast(input), recast(output), bias.map { recast($0) })
    }
  }
}
