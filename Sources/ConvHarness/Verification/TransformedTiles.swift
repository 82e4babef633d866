import ConvCore

/// One of the tiles that are gathered side by side before they are transformed together.
struct TileLane {
  fileprivate let values: UnsafeMutablePointer<TileTransform.Lanes>
  fileprivate let lane: Int

  subscript(_ index: Int) -> Double {
    get { values[index][lane] }
    nonmutating set { values[index][lane] = newValue }
  }
}

/// Transformed tiles with the variance proxies of their elements, tile after tile.
struct TransformedTiles {
  let count, area: Int
  private(set) var values, squares: [Double]

  init(count: Int, area: Int) {
    (self.count, self.area) = (count, area)
    values = [Double](repeating: 0, count: count * area)
    squares = values
  }

  /// Transforms all tiles, of which `gather` writes number `index` and says whether there is anything in it.
  ///
  /// - Returns: Whether there was anything in one of them.
  mutating func fill(_ transform: TileTransform, _ gather: (_ index: Int, _ tile: TileLane) -> Bool) -> Bool {
    values.withUnsafeMutableBufferPointer { values in
      squares.withUnsafeMutableBufferPointer { squares in
        TransformedTiles.fill(0..<count, area, transform, values.baseAddress!, squares.baseAddress!, gather)
      }
    }
  }

  /// The same on several threads.
  mutating func fillAll(
    _ transform: TileTransform, _ pool: WorkerPool,
    _ gather: (_ index: Int, _ tile: TileLane) -> Bool
  ) {
    let (count, area) = (count, area)
    values.withUnsafeMutableBufferPointer { values in
      squares.withUnsafeMutableBufferPointer { squares in
        let chunk = 64
        pool.parallelFor((count + chunk - 1) / chunk) { task in
          _ = TransformedTiles.fill(
            task * chunk..<min(count, (task + 1) * chunk), area, transform, values.baseAddress!,
            squares.baseAddress!, gather)
        }
      }
    }
  }

  private static func fill(
    _ range: Range<Int>, _ area: Int, _ transform: TileTransform, _ values: UnsafeMutablePointer<Double>,
    _ squares: UnsafeMutablePointer<Double>, _ gather: (_ index: Int, _ tile: TileLane) -> Bool
  ) -> Bool {
    var source = TileTransform.Tile(count: transform.sourceCount)
    var middle = TileTransform.Tile(count: transform.middleCount)
    var target = TileTransform.Tile(count: transform.count)
    var isFilled = false
    for first in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
      let lanes = min(4, range.upperBound - first)
      source.values.withUnsafeMutableBufferPointer { source in
        for lane in 0..<lanes {
          let found = gather(first + lane, TileLane(values: source.baseAddress!, lane: lane))
          isFilled = isFilled || found
          if !found { for e in source.indices { source[e][lane] = 0 } }
        }
      }
      transform.apply(source, &middle, to: &target)
      for lane in 0..<lanes {
        let (to, proxies) = (values + (first + lane) * area, squares + (first + lane) * area)
        for e in 0..<area {
          to[e] = target.values[e][lane]
          proxies[e] = target.squares[e][lane]
        }
      }
    }
    return isFilled
  }
}

extension WinogradBounds.ProductSums {
  /// Adds the products of two transformed tiles.
  mutating func add(_ a: TransformedTiles, _ i: Int, _ b: TransformedTiles, _ j: Int) {
    let area = a.area
    a.values.withUnsafeBufferPointer { u in
      a.squares.withUnsafeBufferPointer { uSquares in
        b.values.withUnsafeBufferPointer { v in
          b.squares.withUnsafeBufferPointer { vSquares in
            add(
              u.baseAddress! + i * area, uSquares.baseAddress! + i * area, v.baseAddress! + j * area,
              vSquares.baseAddress! + j * area, area: area)
          }
        }
      }
    }
  }
}

extension WinogradBounds {
  /// Aᵀ M A with all proxies, in the first lane.
  func inverse(_ sums: ProductSums) -> TileTransform.Tile {
    var source = TileTransform.Tile(count: area)
    var middle = TileTransform.Tile(count: outputTransform.middleCount)
    var target = TileTransform.Tile(count: outputTransform.count)
    for e in 0..<area {
      source.values[e][0] = sums.values[e]
      source.squares[e][0] = squares(sums, e)
    }
    outputTransform.apply(source, &middle, to: &target)
    return target
  }
}
