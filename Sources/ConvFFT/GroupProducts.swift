#if FFTW
  import ConvCore

  /// Products of many groups of few channels in one bin, vectorised over groups (depthwise convolutions).
  struct GroupProducts {
    /// Channels of a group that are summed over and produced.
    let i, o: Int
    let groups: Int

    /// result (tiles × [Re; Im] × o × groups) = source (tiles × [Re; Im] × i × groups) · operator.
    ///
    /// The operator is [first; Re; last] × i × o × groups: [−Im; Re; Im] multiplies by the conjugate, [Im;
    /// Re; −Im] by itself.
    func tiles<T: ConvScalar>(
      _ rows: Range<Int>, _ a: UnsafeMutablePointer<T>, _ b: UnsafeMutablePointer<T>,
      _ c: UnsafeMutablePointer<T>
    ) {
      // Named types: the loops are specialised here, whatever the caller's file.
      if let a = a as? UnsafeMutablePointer<Float> {
        sumTiles(rows, a, b as! UnsafeMutablePointer<Float>, c as! UnsafeMutablePointer<Float>)
      } else if let a = a as? UnsafeMutablePointer<Double> {
        sumTiles(rows, a, b as! UnsafeMutablePointer<Double>, c as! UnsafeMutablePointer<Double>)
      } else {
        sumTiles(rows, a, b, c)
      }
    }

    /// result ([Re; Im] × i × o × groups) (+)= source ([Re; Im] × tiles × i × groups)ᵀ · conj(gradient),
    /// which is [−Im; Re; Im] × tiles × o × groups.
    func filter<T: ConvScalar>(
      _ tiles: Int, _ a: UnsafeMutablePointer<T>, _ b: UnsafeMutablePointer<T>,
      _ c: UnsafeMutablePointer<T>, accumulate: Bool
    ) {
      if let a = a as? UnsafeMutablePointer<Float> {
        sumFilter(
          tiles, a, b as! UnsafeMutablePointer<Float>, c as! UnsafeMutablePointer<Float>, accumulate)
      } else if let a = a as? UnsafeMutablePointer<Double> {
        sumFilter(
          tiles, a, b as! UnsafeMutablePointer<Double>, c as! UnsafeMutablePointer<Double>, accumulate)
      } else {
        sumFilter(tiles, a, b, c, accumulate)
      }
    }

    private func sumTiles<T: ConvScalar>(
      _ rows: Range<Int>, _ a: UnsafeMutablePointer<T>, _ b: UnsafeMutablePointer<T>,
      _ c: UnsafeMutablePointer<T>
    ) {
      let part = i * o * groups
      for row in rows {
        let x = a + row * 2 * i * groups
        let y = c + row * 2 * o * groups
        y.update(repeating: 0, count: 2 * o * groups)
        for index in 0..<i {
          let (xr, xi) = (x + index * groups, x + (i + index) * groups)
          for channel in 0..<o {
            let w = b + (index * o + channel) * groups
            let (yr, yi) = (y + channel * groups, y + (o + channel) * groups)
            for g in 0..<groups {
              let (re, first, last) = (w[part + g], w[g], w[2 * part + g])
              yr[g] += xr[g] * re + xi[g] * last
              yi[g] += xr[g] * first + xi[g] * re
            }
          }
        }
      }
    }

    private func sumFilter<T: ConvScalar>(
      _ tiles: Int, _ a: UnsafeMutablePointer<T>, _ b: UnsafeMutablePointer<T>,
      _ c: UnsafeMutablePointer<T>, _ accumulate: Bool
    ) {
      let part = i * o * groups
      if !accumulate { c.update(repeating: 0, count: 2 * part) }
      for tile in 0..<tiles {
        for index in 0..<i {
          let xr = a + (tile * i + index) * groups
          let xi = xr + tiles * i * groups
          for channel in 0..<o {
            let negated = b + (tile * o + channel) * groups
            let yr = negated + tiles * o * groups
            let yi = yr + tiles * o * groups
            let w = c + (index * o + channel) * groups
            for g in 0..<groups {
              w[g] += xr[g] * yr[g] + xi[g] * yi[g]
              w[part + g] += xr[g] * negated[g] + xi[g] * yr[g]
            }
          }
        }
      }
    }
  }
#endif
