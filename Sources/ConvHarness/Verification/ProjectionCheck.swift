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
  private let expected: ProjectedSums
  private let model: ErrorModel
  private let data: ProblemData
  private let pool: WorkerPool
  private let u, lambda: Double
  private let plain: SumRoundings
  /// By what the proxies of the sample exceed those of plain sums, in the median and at most.
  private let typical, largest: Double

  private var projection: Projection { expected.projection }

  /// - Parameters:
  ///   - expected: the sums.
  ///   - expectation, bounds: of the sample of single results.
  init(
    expected: ProjectedSums, model: ErrorModel, expectation: Expectation, bounds: ErrorBounds,
    data: ProblemData, pool: WorkerPool
  ) {
    (self.expected, self.model, self.data, self.pool) = (expected, model, data, pool)
    let projection = expected.projection
    u = data.elementType.unitRoundoff
    let sums = projection.lines * projection.repeats * projection.sums * projection.extent.w
    let lambda = ErrorBounds.lambda(judged: sums)
    let terms = data.problem.summationDepth(projection.pass)
    if case .summation(let shape, let accumulator) = model {
      var plain = SumRoundings(shape, terms: terms)
      if accumulator == .float64, data.elementType != .float64 { plain = .oneRounding }
      self.plain = plain
    } else {
      plain = SumRoundings(.chain, terms: terms)
    }
    let (plain, u) = (plain, u)
    var ratios = expectation.grid.indices.compactMap { i -> Double? in
      let square = plain.squares(total: expectation.values[i], terms: expectation.squares[i], path: 0)
      let proxy = bounds.deviations[i] / u
      return square > 0 ? 3 * proxy * proxy / square : nil
    }
    if plain == .oneRounding || ratios.isEmpty { ratios = [1] }
    ratios.sort()
    largest = ratios[ratios.count - 1]
    // Data that nobody drew are not alike everywhere.
    typical = data.isDrawn ? ratios[ratios.count / 2] : largest
    // Where roundings are not independent, each error is as large as its deterministic bound, and the signs alone are random.
    let excess =
      bounds.isCorrelated
      ? zip(bounds.bounds, bounds.deviations).reduce(0) { $1.1 > 0 ? max($0, $1.0 / $1.1) : $0 } : 1
    self.lambda = lambda * excess
  }

  /// The deviation of one sum.
  private struct Deviation {
    var line, sum, w: Int
    var found, value: Double
    /// Proxies of plain sums, and their float64 part.
    var square, rest: Double
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
    /// Beyond the bound of the median multiple; the full one decides.
    var suspects: [Deviation] = []
    var tiles: [Int] = []
    var channels: [Int] = []
  }

  /// λ times the root of what an algorithm with `excess` times the proxies of plain sums makes, and of the float64 sums.
  private func bound(_ square: Double, _ rest: Double, excess: Double) -> Double {
    lambda * (u * u * excess * square + 0x1p-106 * rest).squareRoot() + underflow
  }

  private var underflow: Double {
    Double(projection.width * data.problem.summationDepth(projection.pass))
      * ErrorBounds.leastMagnitude(data.elementType)
  }

  /// The finding about a result in logical order; nil where the model does not describe the problem.
  func finding(_ result: Tensor) -> ProjectionFinding? {
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
            ? examine(line, result, looksAtSingles, as: Double.self)
            : examine(line, result, looksAtSingles, as: Float.self)
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

  /// Gives suspects of an algorithm that transforms their own proxies, the worst first; the others are judged by the least that was
  /// found. False where the model does not describe the problem.
  private func judge(_ suspects: [Deviation], _ finding: inout ProjectionFinding) -> Bool {
    var sorted = suspects.sorted { ($0.ratio, $1.line) > ($1.ratio, $0.line) }
    if case .summation = model {
      if let worst = sorted.first { finding.take(worst.ratio, worst.bound, place(worst)) }
      return true
    }
    var least = Double.infinity
    while var worst = sorted.first {
      guard let own = squares(of: worst) else { return false }
      worst.bound = bound(own, worst.rest, excess: 1)
      finding.take(worst.ratio, worst.bound, place(worst))
      if worst.ratio > 1 { return true }
      least = min(least, worst.square > 0 ? own / worst.square : .infinity)
      sorted.removeFirst()
      sorted.removeAll { suspect in
        let bound = bound(suspect.square, suspect.rest, excess: least)
        return suspect.error <= bound
      }
    }
    return true
  }

  /// Σ Vₖ of one sum's members.
  private func squares(of deviation: Deviation) -> Double? {
    var (outer, at) = projection.place(deviation.line)
    at.w = deviation.w
    let members = Array(projection.members(deviation.sum))
    let isFilter = projection.pass == .backwardFilter
    let grid = SampleGrid(
      pass: projection.pass, problem: projection.problem,
      rows: isFilter
        ? members.map { SampleGrid.Row(first: $0, at: at) } : [SampleGrid.Row(first: outer, at: at)],
      columns: isFilter ? [outer] : members)
    let expectation = Expectation(grid: grid, data: data, pool: pool)
    return Proxies(model, expectation: expectation, data: data, pool: pool)?.squares.reduce(0, +)
  }

  /// Adds up one line and compares it.
  private func examine<T: ConvScalar>(_ line: Int, _ result: Tensor, _ looksAtSingles: Bool, as: T.Type)
    -> Line
  {
    let (width, sums) = (projection.extent.w, projection.sums)
    var found = Line()
    var actual = [Double](repeating: 0, count: width)
    var powers = actual
    result.withUnsafePointer(as: T.self) { result in
      expected.withLine(line) { values, squares in
        for sum in 0..<sums {
          let squares = squares + sum * width
          for turn in 0..<projection.repeats {
            addUp(line, sum, turn, result, &actual, &powers)
            let values = values + (turn * sums + sum) * width
            for w in 0..<width {
              let square = plain.squares(totals: powers[w], terms: squares[w])
              let rest = 4 * square + 2 * Double(projection.width) * powers[w]
              let bound = bound(square, rest, excess: typical)
              let deviation = Deviation(
                line: line, sum: sum, w: w, found: actual[w], value: values[w], square: square, rest: rest,
                bound: bound)
              if !(deviation.error <= bound) {
                found.suspects.append(deviation)
              } else if deviation.ratio > found.worst?.ratio ?? -1 {
                found.worst = deviation
              }
              if !projection.isWhole && abs(values[w]) > self.bound(square, rest, excess: largest) {
                mark(line, nil, w, &found)
              }
            }
          }
          if looksAtSingles {
            for channel in projection.members(sum) {
              let results = result + projection.index(line, channel)
              for w in 0..<width {
                let square = plain.squares(totals: powers[w], terms: squares[w])
                if abs(Double(results[w])) > 2 * bound(square, 4 * square, excess: largest) {
                  mark(line, channel, w, &found)
                }
              }
            }
          }
        }
      }
    }
    return found
  }

  /// The sum of the engine's results with signs, and of their squares.
  private func addUp<T: ConvScalar>(
    _ line: Int, _ sum: Int, _ turn: Int, _ result: UnsafePointer<T>, _ actual: inout [Double],
    _ powers: inout [Double]
  ) {
    let width = projection.extent.w
    let signs = projection.signVector(line, turn) * projection.channels
    actual.withUnsafeMutableBufferPointer { actual in
      powers.withUnsafeMutableBufferPointer { powers in
        for w in 0..<width { (actual[w], powers[w]) = (0, 0) }
        for channel in projection.members(sum) {
          let sign = projection.signs[signs + channel]
          let values = result + projection.index(line, channel)
          for w in 0..<width {
            let value = Double(values[w])
            actual[w] += sign * value
            powers[w] += value * value
          }
        }
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
