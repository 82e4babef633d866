import ConvCore

/// What the sums of a `Projection` should be, in float64, and the squares of terms that their bounds are made of.
public struct ProjectedSums: Sendable {
  /// Which sums.
  public let projection: Projection
  /// The operand that is added up, as (Σₖ wₖ²)^½ per sum (for backwardFilter of dyₖ), rounded up: Σ x²·v² is what Q of all results of
  /// the sum adds up to.
  private let norms: Tensor
  /// The operands of the pass; the filter or dy of the problem itself at width 1.
  private let data: ProblemData
  /// Σₖ rₖ·wₖ per class, in the inner filter's order; empty at width 1 and for backwardFilter.
  private let weights: [Double]
  /// Values (repeats × sums × width of the extent per line) and squares (sums × width); empty where they are too many to keep.
  private let values: [Double], squares: [Double]
  /// For each tap along the width the output columns that read inside of the image.
  private let columns: [Range<Int>]

  /// Computes the sums.
  ///
  /// - Throws: `MemoryError`.
  public init(_ projection: Projection, data: ProblemData, pool: WorkerPool = .shared) throws {
    switch data.elementType {
    case .float64: try self.init(projection, data, as: Double.self, pool)
    default: try self.init(projection, data, as: Float.self, pool)
    }
  }

  private init<T: ConvScalar>(
    _ projection: Projection, _ data: ProblemData, as: T.Type, _ pool: WorkerPool
  ) throws {
    self.projection = projection
    self.data = data
    let pr = projection.problem
    let taps = (0..<pr.filter.w).map { $0 * pr.dilation.w - pr.padding.left }
    columns = taps.map { offset in
      let first = offset >= 0 ? 0 : (-offset + pr.stride.w - 1) / pr.stride.w
      let last = pr.input.w - 1 - offset
      let end = last < 0 ? 0 : min(pr.output.w, last / pr.stride.w + 1)
      return min(first, end)..<end
    }
    if projection.isWhole {
      (norms, weights) = (projection.pass == .backwardFilter ? data.outputGradient : data.filter, [])
    } else {
      norms = try ProjectedSums.norms(projection, data, T.self, pool)
      weights =
        projection.pass == .backwardFilter ? [] : ProjectedSums.weights(projection, data, T.self, pool)
    }
    let perLine = projection.sums * projection.extent.w
    guard projection.lines * perLine <= 2 * Projection.storedSums || projection.pass == .backwardFilter
    else {
      (values, squares) = ([], [])
      return
    }
    try MemoryAllowance.current.require(
      byteCount: projection.lines * (projection.repeats + 1) * perLine * MemoryLayout<Double>.stride)
    var values = [Double](repeating: 0, count: projection.lines * projection.repeats * perLine)
    var squares = [Double](repeating: 0, count: projection.lines * perLine)
    let kernel = ProjectionKernel<T>(projection, columns: columns)
    if projection.pass == .backwardFilter {
      kernel.backwardFilter(data, norms, &values, &squares, pool)
    } else {
      let weights = weights
      let norms = norms
      values.withUnsafeMutableBufferPointer { values in
        squares.withUnsafeMutableBufferPointer { squares in
          pool.parallelFor(projection.lines) { line in
            kernel.line(
              line, data, norms, weights, values.baseAddress! + line * projection.repeats * perLine,
              squares.baseAddress! + line * perLine)
          }
        }
      }
    }
    (self.values, self.squares) = (values, squares)
  }

  /// The values and squares of a line.
  func withLine<R>(
    _ line: Int, _ body: (_ values: UnsafePointer<Double>, _ squares: UnsafePointer<Double>) -> R
  ) -> R {
    let perLine = projection.sums * projection.extent.w
    if !values.isEmpty {
      return values.withUnsafeBufferPointer { valueBuffer in
        squares.withUnsafeBufferPointer { squareBuffer in
          body(
            valueBuffer.baseAddress! + line * projection.repeats * perLine,
            squareBuffer.baseAddress! + line * perLine)
        }
      }
    }
    var lineValues = [Double](repeating: 0, count: projection.repeats * perLine)
    var lineSquares = [Double](repeating: 0, count: perLine)
    return lineValues.withUnsafeMutableBufferPointer { valueBuffer in
      lineSquares.withUnsafeMutableBufferPointer { squareBuffer in
        let (v, m) = (valueBuffer.baseAddress!, squareBuffer.baseAddress!)
        if data.elementType == .float64 {
          ProjectionKernel<Double>(projection, columns: columns).line(line, data, norms, weights, v, m)
        } else {
          ProjectionKernel<Float>(projection, columns: columns).line(line, data, norms, weights, v, m)
        }
        return body(v, m)
      }
    }
  }

  // MARK: The operand that is added up

  /// For each sum (for backwardData each k and sum of its group, for backwardFilter each image and sum): the channels whose
  /// `length` elements are added up, and where each channel's begin.
  private static func runs(_ projection: Projection) -> (
    length: Int, runs: [(members: Range<Int>, start: @Sendable (Int) -> Int)]
  ) {
    let pr = projection.problem
    switch projection.pass {
    case .forward:
      let length = pr.cPerGroup * pr.filter.count
      return (length, (0..<projection.sums).map { (projection.members($0), { $0 * length }) })
    case .backwardData:
      let length = pr.filter.count
      var runs: [(members: Range<Int>, start: @Sendable (Int) -> Int)] = []
      for k in 0..<pr.k {
        for block in 0..<projection.blocks {
          let members = projection.members(k / pr.kPerGroup * projection.blocks + block)
          runs.append((members, { (k * pr.cPerGroup + $0 % pr.cPerGroup) * length }))
        }
      }
      return (length, runs)
    case .backwardFilter:
      let length = pr.output.count
      var runs: [(members: Range<Int>, start: @Sendable (Int) -> Int)] = []
      for n in 0..<pr.n {
        for sum in 0..<projection.sums {
          runs.append((projection.members(sum), { (n * pr.k + $0) * length }))
        }
      }
      return (length, runs)
    }
  }

  private static func norms<T: ConvScalar>(
    _ projection: Projection, _ data: ProblemData, _: T.Type, _ pool: WorkerPool
  ) throws -> Tensor {
    let (inner, type) = (projection.inner, data.elementType)
    let isFilter = projection.pass != .backwardFilter
    let source = isFilter ? data.filter : data.outputGradient
    var norms = try Tensor(
      uninitialized: isFilter ? inner.filterShape : inner.outputShape, elementType: type)
    let (length, runs) = runs(projection)
    source.withUnsafePointer(as: T.self) { source in
      norms.withUnsafeMutablePointer(as: T.self) { norms in
        pool.parallelFor(runs.count) { task in
          var squares = [Double](repeating: 0, count: length)
          for channel in runs[task].members {
            let values = source + runs[task].start(channel)
            for i in 0..<length { squares[i] += Double(values[i]) * Double(values[i]) }
          }
          let norm = norms + task * length
          for i in 0..<length { norm[i] = squares[i] == 0 ? 0 : T(squares[i].squareRoot()).nextUp }
        }
      }
    }
    return norms
  }

  private static func weights<T: ConvScalar>(
    _ projection: Projection, _ data: ProblemData, _: T.Type, _ pool: WorkerPool
  ) -> [Double] {
    let (length, runs) = runs(projection)
    let count = runs.count * length
    var weights = [Double](repeating: 0, count: projection.classes * count)
    data.filter.withUnsafePointer(as: T.self) { source in
      weights.withUnsafeMutableBufferPointer { weights in
        pool.parallelFor(runs.count) { task in
          for j in 0..<projection.classes {
            let sum = weights.baseAddress! + j * count + task * length
            for channel in runs[task].members {
              let sign = projection.signs[j * projection.channels + channel]
              let values = source + runs[task].start(channel)
              for i in 0..<length { sum[i] += sign * Double(values[i]) }
            }
          }
        }
      }
    }
    return weights
  }
}
