import ConvCore

/// The float64 sums of `ProjectedSums`: the inner problem's formulas, a row of results at a time.
struct ProjectionKernel<T: ConvScalar>: Sendable {
  private let projection: Projection
  private let columns: [Range<Int>]

  init(_ projection: Projection, columns: [Range<Int>]) {
    self.projection = projection
    self.columns = columns
  }

  /// One line of forward or backwardData.
  ///
  /// - Parameters:
  ///   - weights: per class; at width 1 empty, and the filter is the problem's own.
  ///   - values, squares: are zero.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  func line(
    _ line: Int, _ data: ProblemData, _ norms: Tensor, _ weights: [Double],
    _ values: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
  ) {
    let source = projection.pass == .forward ? data.input : data.outputGradient
    source.withUnsafePointer(as: T.self) { source in
      norms.withUnsafePointer(as: T.self) { norms in
        weights.withUnsafeBufferPointer { weights in
          if projection.pass == .forward {
            forward(line, source, norms, weights, values, squares)
          } else {
            backwardData(line, source, norms, weights, values, squares)
          }
        }
      }
    }
  }

  private func forward(
    _ line: Int, _ x: UnsafePointer<T>, _ norms: UnsafePointer<T>, _ weights: UnsafeBufferPointer<Double>,
    _ values: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
  ) {
    let pr = projection.inner
    let (n, at) = projection.place(line)
    for sum in 0..<projection.sums {
      let group = sum / projection.blocks
      for c in 0..<pr.cPerGroup {
        let planes = x + (n * pr.c + group * pr.cPerGroup + c) * pr.input.count
        for t in 0..<pr.filter.d {
          let d = at.d * pr.stride.d + t * pr.dilation.d - pr.padding.front
          guard d >= 0, d < pr.input.d else { continue }
          for r in 0..<pr.filter.h {
            let h = at.h * pr.stride.h + r * pr.dilation.h - pr.padding.top
            guard h >= 0, h < pr.input.h else { continue }
            let row = planes + (d * pr.input.h + h) * pr.input.w
            let tap = ((sum * pr.cPerGroup + c) * pr.filter.d + t) * pr.filter.h + r
            for s in 0..<pr.filter.w {
              let range = columns[s]
              let first = range.lowerBound * pr.stride.w + s * pr.dilation.w - pr.padding.left
              add(
                line, sum, tap * pr.filter.w + s, norms, weights, values, squares, count: range.count,
                row + first, by: pr.stride.w, to: range.lowerBound, by: 1)
            }
          }
        }
      }
    }
  }

  private func backwardData(
    _ line: Int, _ dy: UnsafePointer<T>, _ norms: UnsafePointer<T>, _ weights: UnsafeBufferPointer<Double>,
    _ values: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
  ) {
    let pr = projection.inner
    let (n, at) = projection.place(line)
    func source(_ axis: Int, _ tap: Int) -> Int? {
      let shifted = at[axis] + pr.padding.before[axis] - tap * pr.dilation[axis]
      guard shifted >= 0, shifted % pr.stride[axis] == 0, shifted / pr.stride[axis] < pr.output[axis] else {
        return nil
      }
      return shifted / pr.stride[axis]
    }
    for sum in 0..<projection.sums {
      let (group, block) = (sum / projection.blocks, sum % projection.blocks)
      for i in 0..<pr.kPerGroup {
        let k = group * pr.kPerGroup + i
        let planes = dy + (n * pr.k + k) * pr.output.count
        for t in 0..<pr.filter.d {
          guard let z = source(0, t) else { continue }
          for r in 0..<pr.filter.h {
            guard let p = source(1, r) else { continue }
            let row = planes + (z * pr.output.h + p) * pr.output.w
            let tap = ((k * projection.blocks + block) * pr.filter.d + t) * pr.filter.h + r
            for s in 0..<pr.filter.w {
              let range = columns[s]
              let first = range.lowerBound * pr.stride.w + s * pr.dilation.w - pr.padding.left
              add(
                line, sum, tap * pr.filter.w + s, norms, weights, values, squares, count: range.count,
                row + range.lowerBound, by: 1, to: first, by: pr.stride.w)
            }
          }
        }
      }
    }
  }

  /// Adds one tap's products to the line's sum, of every sign vector of the line, and to its squares of terms.
  @inline(__always)
  private func add(
    _ line: Int, _ sum: Int, _ tap: Int, _ norms: UnsafePointer<T>, _ weights: UnsafeBufferPointer<Double>,
    _ values: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>, count: Int,
    _ source: UnsafePointer<T>, by step: Int, to first: Int, by resultStep: Int
  ) {
    if count == 0 { return }
    let width = projection.extent.w
    let norm = Double(norms[tap])
    let normSquare = norm * norm
    let square = squares + sum * width + first
    let filterCount = weights.count / projection.classes
    for turn in 0..<projection.repeats {
      let weight =
        weights.isEmpty
        ? Double(norms[tap]) : weights[projection.signVector(line, turn) * filterCount + tap]
      let value = values + (turn * projection.sums + sum) * width + first
      if turn > 0 {
        for i in 0..<count { value[i * resultStep] += weight * Double(source[i * step]) }
      } else if step == 1 && resultStep == 1 {
        for i in 0..<count {
          let element = Double(source[i])
          value[i] += weight * element
          square[i] += normSquare * (element * element)
        }
      } else {
        for i in 0..<count {
          let element = Double(source[i * step])
          value[i * resultStep] += weight * element
          square[i * resultStep] += normSquare * (element * element)
        }
      }
    }
  }

  // MARK: backwardFilter

  /// All lines of backwardFilter, image by image.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  func backwardFilter(
    _ data: ProblemData, _ norms: Tensor, _ values: inout [Double], _ squares: inout [Double],
    _ pool: WorkerPool
  ) {
    let pr = projection.inner
    let area = pr.output.count
    // Σₖ rₖ·dyₖ of one image: classes × sums × area.
    var gradients = [Double](repeating: 0, count: projection.classes * projection.sums * area)
    data.input.withUnsafePointer(as: T.self) { x in
      data.outputGradient.withUnsafePointer(as: T.self) { dy in
        norms.withUnsafePointer(as: T.self) { norms in
          gradients.withUnsafeMutableBufferPointer { gradients in
            values.withUnsafeMutableBufferPointer { values in
              squares.withUnsafeMutableBufferPointer { squares in
                for n in 0..<pr.n {
                  pool.parallelFor(projection.classes * projection.sums) { task in
                    addUp(
                      dy + n * projection.channels * area, task / projection.sums, task % projection.sums,
                      gradients.baseAddress! + task * area)
                  }
                  pool.parallelFor(projection.sums * pr.cPerGroup) { task in
                    let (sum, c) = (task / pr.cPerGroup, task % pr.cPerGroup)
                    let channel = sum / projection.blocks * pr.cPerGroup + c
                    correlate(
                      x + (n * pr.c + channel) * pr.input.count, UnsafePointer(gradients.baseAddress!),
                      norms + (n * projection.sums + sum) * area, sum, c, values.baseAddress!,
                      squares.baseAddress!)
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  private func addUp(
    _ dy: UnsafePointer<T>, _ vector: Int, _ sum: Int, _ gradient: UnsafeMutablePointer<Double>
  ) {
    let area = projection.inner.output.count
    for i in 0..<area { gradient[i] = 0 }
    for channel in projection.members(sum) {
      let sign = projection.signs[vector * projection.channels + channel]
      let values = dy + channel * area
      for i in 0..<area { gradient[i] += sign * Double(values[i]) }
    }
  }

  /// Adds one image's share to all taps of one sum and channel.
  private func correlate(
    _ x: UnsafePointer<T>, _ gradients: UnsafePointer<Double>, _ norms: UnsafePointer<T>, _ sum: Int,
    _ c: Int, _ values: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
  ) {
    let pr = projection.inner
    let (area, width) = (pr.output.count, pr.filter.w)
    let lines = pr.filter.d * pr.filter.h
    for row in 0..<lines {
      let line = c * lines + row
      let (t, r) = (row / pr.filter.h, row % pr.filter.h)
      for s in 0..<width {
        let range = columns[s]
        let first = range.lowerBound * pr.stride.w + s * pr.dilation.w - pr.padding.left
        for turn in 0..<projection.repeats {
          let gradient = gradients + (projection.signVector(line, turn) * projection.sums + sum) * area
          var total = SIMD2<Double>()
          for z in 0..<pr.output.d {
            let d = z * pr.stride.d + t * pr.dilation.d - pr.padding.front
            guard d >= 0, d < pr.input.d else { continue }
            for p in 0..<pr.output.h {
              let h = p * pr.stride.h + r * pr.dilation.h - pr.padding.top
              guard h >= 0, h < pr.input.h, !range.isEmpty else { continue }
              let place = (z * pr.output.h + p) * pr.output.w + range.lowerBound
              total += dot(
                range.count, gradient + place, norms + place, x + (d * pr.input.h + h) * pr.input.w + first,
                by: pr.stride.w)
            }
          }
          values[((line * projection.repeats + turn) * projection.sums + sum) * width + s] += total[0]
          if turn == 0 { squares[(line * projection.sums + sum) * width + s] += total[1] }
        }
      }
    }
  }

  /// Σ a·x and Σ (v·x)², in four partial sums each, so that they are vectors.
  @inline(__always)
  private func dot(
    _ count: Int, _ a: UnsafePointer<Double>, _ v: UnsafePointer<T>, _ x: UnsafePointer<T>, by step: Int
  ) -> SIMD2<Double> {
    var sums = SIMD4<Double>()
    var squares = SIMD4<Double>()
    var i = 0
    while i + 4 <= count {
      let element = SIMD4(
        Double(x[i * step]), Double(x[(i + 1) * step]), Double(x[(i + 2) * step]), Double(x[(i + 3) * step]))
      sums += SIMD4(a[i], a[i + 1], a[i + 2], a[i + 3]) * element
      let norm = SIMD4(Double(v[i]), Double(v[i + 1]), Double(v[i + 2]), Double(v[i + 3])) * element
      squares += norm * norm
      i += 4
    }
    var result = SIMD2(sums.sum(), squares.sum())
    while i < count {
      let element = Double(x[i * step])
      let product = Double(v[i]) * element
      result += SIMD2(a[i] * element, product * product)
      i += 1
    }
    return result
  }
}
