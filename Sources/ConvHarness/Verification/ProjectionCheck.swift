import ConvCore

/// What a whole result looks like to a `Projection`.
public struct ProjectionFinding: Sendable, Hashable {
  /// Channels per sum; 1: every result was compared by itself.
  public internal(set) var width = 1
  /// Largest quotient of a sum's deviation and its bound; at most 1 passes. Where nothing comes near its bound, a number that the
  /// quotient does not exceed.
  public internal(set) var ratio = 0.0
  /// The bound there.
  public internal(set) var bound = Double.nan
  /// Where, with the sum and its value; for messages.
  public internal(set) var place = ""
  /// What of the result the sums would see if it were lost.
  public internal(set) var sight = ProjectionSight()
}

/// The parts of a result whose loss (zeros in their place) the sums of a projection would show, found from the results themselves.
public struct ProjectionSight: Sendable, Hashable {
  /// Tiles, numbered as in `SampleCoverage`.
  var tiles = Set<Int>()
  /// Channels of the second axis.
  var channels = Set<Int>()
  /// Whether single results are compared, so that all tiles and channels are seen.
  var isWhole = false
}

/// Compares a result with the sums that it should have.
struct ProjectionCheck {
  let expected: ProjectedSums
  let model: ErrorModel
  let pool: WorkerPool

  private var projection: Projection { expected.projection }

  /// A sum's bound is at least `algorithm` + `rest` times its magnitude + `underflow`; the algorithm's own part is more where
  /// transforms amplify, and is evaluated only where that decides.
  private let algorithm, rest, underflow: Double

  init(expected: ProjectedSums, model: ErrorModel, elementType: ElementType, pool: WorkerPool) {
    self.expected = expected
    self.model = model
    self.pool = pool
    let projection = expected.projection
    let u = elementType.unitRoundoff
    let width = Double(projection.width)
    let depth = projection.problem.summationDepth(projection.pass)
    algorithm = ErrorBounds.leastFactor(model, u)
    // Float64: the oracle's chain, and Σ|wₖ| ≤ √width·v, of which the magnitudes have min(√width, λ).
    let float64 =
      ErrorBounds.probabilistic(depth + projection.width) * 0x1p-53
      * max(1, width.squareRoot() / ErrorBounds.lambda)
    // |y| ≤ Σ|a·b|.
    rest = float64 + ErrorBounds.resultRounding(model, u)
    underflow = width * ErrorBounds.underflow(depth: depth, elementType)
  }

  /// The deviation of one sum.
  private struct Deviation {
    var line, sum, w: Int
    var found, value: Double
    var bound: Double
    var error: Double { abs(found - value) }
    var ratio: Double {
      let error = error
      return error.isNaN ? .infinity : bound > 0 ? error / bound : error > 0 ? .infinity : 0
    }
  }

  /// What one line says.
  private struct Line {
    var worst: Deviation?
    /// Beyond the least bound; the full one decides.
    var suspects: [Deviation] = []
    var tiles: [Int] = []
    var channels: [Int] = []
  }

  /// The finding about a result in logical order; nil where the model does not describe the problem.
  func finding(_ result: Tensor) -> ProjectionFinding? {
    guard let amplification else { return nil }
    var finding = ProjectionFinding()
    finding.width = projection.width
    finding.sight.isWhole = projection.isWhole
    let perLine = projection.sums * projection.extent.w
    // So many lines at a time that the suspects of a wrong result do not fill the memory.
    let chunk = max(pool.threads, (1 << 20) / max(1, perLine * projection.repeats))
    let singlesEvery = max(1, projection.lines / 64)
    for first in stride(from: 0, to: projection.lines, by: chunk) {
      let count = min(chunk, projection.lines - first)
      var lines = [Line](repeating: Line(), count: count)
      lines.withUnsafeMutableBufferPointer { lines in
        pool.parallelFor(count) { task in
          let line = first + task
          let looksAtSingles = !projection.isWhole && line % singlesEvery == 0
          lines[task] =
            result.elementType == .float64
            ? examine(line, result, amplification, looksAtSingles, as: Double.self)
            : examine(line, result, amplification, looksAtSingles, as: Float.self)
        }
      }
      for line in lines {
        if let worst = line.worst { finding.take(worst.ratio, worst.bound, place(worst)) }
        finding.sight.tiles.formUnion(line.tiles)
        finding.sight.channels.formUnion(line.channels)
      }
      let suspects = lines.flatMap(\.suspects)
      guard judge(suspects, &finding) else { return nil }
      if finding.ratio > 1 { return finding }
    }
    return finding
  }

  /// Gives suspects their full bounds, the worst first, and more at a time as long as they pass. False where the model does not
  /// describe the problem.
  private func judge(_ suspects: [Deviation], _ finding: inout ProjectionFinding) -> Bool {
    let sorted = suspects.sorted { ($0.ratio, $1.line) > ($1.ratio, $0.line) }
    var first = 0
    var count = 256
    while first < sorted.count {
      var batch = Array(sorted[first..<min(first + count, sorted.count)])
      let samples = batch.map { projection.sample($0.line, $0.sum, $0.w) }
      let rows = Array(Set(samples.map(\.row)))
      let columns = Array(Set(samples.map(\.column))).sorted()
      let grid = SampleGrid(pass: projection.pass, problem: projection.inner, rows: rows, columns: columns)
      guard let bounds = ErrorBounds.algorithm(model, grid, expected.bounding, pool: pool) else {
        return false
      }
      let rowIndex = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1, $0) })
      let columnIndex = Dictionary(uniqueKeysWithValues: columns.enumerated().map { ($1, $0) })
      for i in batch.indices {
        let own = bounds[rowIndex[samples[i].row]! * columns.count + columnIndex[samples[i].column]!]
        // The least bound has the least algorithm's part in it already.
        let magnitude = (batch[i].bound - underflow) / (algorithm + rest)
        batch[i].bound = own + rest * magnitude + underflow
        finding.take(batch[i].ratio, batch[i].bound, place(batch[i]))
      }
      if finding.ratio > 1 { return true }
      first += count
      count *= 16
    }
    return true
  }

  /// Adds up one line and compares it.
  private func examine<T: ConvScalar>(
    _ line: Int, _ result: Tensor, _ amplification: Double, _ looksAtSingles: Bool, as: T.Type
  ) -> Line {
    let (width, sums) = (projection.extent.w, projection.sums)
    var found = Line()
    var actual = [Double](repeating: 0, count: width)
    result.withUnsafePointer(as: T.self) { result in
      expected.withLine(line) { values, magnitudes in
        for sum in 0..<sums {
          let magnitudes = magnitudes + sum * width
          for turn in 0..<projection.repeats {
            addUp(line, sum, turn, result, &actual)
            let values = values + (turn * sums + sum) * width
            for w in 0..<width {
              let bound = (algorithm + rest) * magnitudes[w] + underflow
              let deviation = Deviation(
                line: line, sum: sum, w: w, found: actual[w], value: values[w], bound: bound)
              if !(deviation.error <= bound) {
                found.suspects.append(deviation)
              } else if deviation.ratio > found.worst?.ratio ?? -1 {
                found.worst = deviation
              }
              if !projection.isWhole && abs(values[w]) > amplification * bound {
                mark(line, nil, w, &found)
              }
            }
          }
          if looksAtSingles {
            for channel in projection.members(sum) {
              let results = result + projection.index(line, channel)
              for w in 0..<width {
                let bound = amplification * ((algorithm + rest) * magnitudes[w] + underflow)
                if abs(Double(results[w])) > 2 * bound { mark(line, channel, w, &found) }
              }
            }
          }
        }
      }
    }
    return found
  }

  private func addUp<T: ConvScalar>(
    _ line: Int, _ sum: Int, _ turn: Int, _ result: UnsafePointer<T>, _ actual: inout [Double]
  ) {
    let width = projection.extent.w
    let signs = projection.signVector(line, turn) * projection.channels
    actual.withUnsafeMutableBufferPointer { actual in
      for w in 0..<width { actual[w] = 0 }
      for channel in projection.members(sum) {
        let sign = projection.signs[signs + channel]
        let values = result + projection.index(line, channel)
        for w in 0..<width { actual[w] += sign * Double(values[w]) }
      }
    }
  }

  /// Notes that the loss of the part of the result around a place is seen: of one channel of a sum, or of all (nil).
  private func mark(_ line: Int, _ channel: Int?, _ w: Int, _ found: inout Line) {
    let (outer, at) = projection.place(line)
    let isFilter = projection.pass == .backwardFilter
    // Sums are over k: the second axis of y, the first of dw.
    if isFilter == (channel == nil) {
      let second = isFilter ? outer : channel!
      if found.channels.last != second { found.channels.append(second) }
    } else {
      let tile = SampleCoverage.tile(
        first: isFilter ? channel! : outer, Extent(d: at.d, h: at.h, w: w), of: projection.extent)
      if found.tiles.last != tile { found.tiles.append(tile) }
    }
  }

  /// By what the full bounds may exceed the least ones, as found at some places; 1 for plain sums. Nil where the model does not
  /// describe the problem.
  private var amplification: Double? {
    if case .summation = model { return 1 }
    let lines = Array(stride(from: 0, to: projection.lines, by: max(1, projection.lines / 16)))
    let sums = Array(stride(from: 0, to: projection.sums, by: max(1, projection.sums / 8)))
    var rows = Set<SampleGrid.Row>()
    var columns = Set<Int>()
    for (i, line) in lines.enumerated() {
      for sum in sums {
        let (row, column) = projection.sample(line, sum, i * 7 % projection.extent.w)
        rows.insert(row)
        columns.insert(column)
      }
    }
    let grid = SampleGrid(
      pass: projection.pass, problem: projection.inner, rows: Array(rows), columns: columns.sorted())
    guard let bounds = ErrorBounds.algorithm(model, grid, expected.bounding, pool: pool) else { return nil }
    let magnitudes = Expectation(grid: grid, data: expected.bounding, pool: pool).magnitudes
    var largest = 1.0
    for (bound, magnitude) in zip(bounds, magnitudes) where magnitude > 0 {
      largest = max(largest, (bound + rest * magnitude) / ((algorithm + rest) * magnitude))
    }
    return largest
  }

  private func place(_ deviation: Deviation) -> String {
    let members = projection.members(deviation.sum)
    let (outer, at) = projection.place(deviation.line)
    let places = projection.problem.axesInUse.map { $0 == 2 ? "\(deviation.w)" : "\(at[$0])" }
    let channels =
      members.count == 1 ? "\(members.lowerBound)" : "\(members.lowerBound)–\(members.upperBound - 1)"
    let index = projection.pass == .backwardFilter ? [channels, "\(outer)"] : ["\(outer)", channels]
    let what = members.count == 1 ? "result" : "the sum with random signs"
    return "\(what) \(deviation.found) where \(deviation.value) ± \(deviation.bound) is expected, at "
      + "[\((index + places).joined(separator: ", "))] of \(projection.pass.rawValue)"
  }
}

extension ProjectionFinding {
  fileprivate mutating func take(_ ratio: Double, _ bound: Double, _ place: @autoclosure () -> String) {
    guard ratio > self.ratio || self.place.isEmpty else { return }
    (self.ratio, self.bound, self.place) = (ratio, bound, place())
  }
}
