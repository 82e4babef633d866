import ConvCore

/// The variance proxies of Winograd results, in units of u²: squares of the actual values of all stages, each times the square of
/// what reaches the result of it.
///
/// y = Aᵀ[Σ (G w Gᵀ) ⊙ (Bᵀ x B)]A is computed in three stages of sums (Barabasz, Anderson, Soodhalter, Gregg: *Error analysis and
/// improving the accuracy of Winograd convolution for deep neural networks*, arXiv 1803.10986, bound the same by absolute values).
/// With U = G w Gᵀ, V = Bᵀ x B and their proxies vU, vV (`TransformMatrix`), the sum M of the products of one element has
///
///     Σ (U²·vV + V²·vU)  +  roundings of the sum of U·V (`SumRoundings`),
///
/// and the result what Aᵀ M A makes of it. Which tile a result belongs to stands with the passes: `convolution` and `backwardFilter`.
struct WinogradBounds {
  let vertical, horizontal: WinogradTransform
  let filterTransform, inputTransform, outputTransform: TileTransform
  /// Of the products' sums.
  let sums: SumRoundings
  let least: Double
  let data: ProblemData

  /// Nil where the matrices' sizes contradict m and r.
  init?(
    vertical: WinogradTransform, horizontal: WinogradTransform, depth: Int, pass: ConvPass, data: ProblemData
  ) {
    for transform in [vertical, horizontal] {
      let t = transform.tile
      guard transform.at.count == transform.m * t, transform.g.count == t * transform.r,
        transform.bt.count == t * t
      else { return nil }
    }
    (self.vertical, self.horizontal, self.data) = (vertical, horizontal, data)
    let type = data.elementType
    let least = ErrorBounds.leastRounding(type)
    func pair(_ values: (WinogradTransform) -> [Double], _ size: (WinogradTransform) -> (Int, Int))
      -> TileTransform
    {
      let matrices = [vertical, horizontal].map {
        TransformMatrix(values($0), rows: size($0).0, columns: size($0).1, type)
      }
      return TileTransform(matrices[0], matrices[1], least: least)
    }
    filterTransform = pair(\.g) { ($0.tile, $0.r) }
    inputTransform = pair(\.bt) { ($0.tile, $0.tile) }
    outputTransform = pair(\.at) { ($0.m, $0.tile) }
    self.least = least
    let pr = data.problem
    let terms =
      switch pass {
      case .forward: pr.cPerGroup * pr.filter.d
      case .backwardData: pr.kPerGroup * pr.filter.d
      case .backwardFilter:
        pr.n * pr.output.d * WinogradBounds.countTiles(pr.output.h, pr.dilation.h, vertical.r)
          * WinogradBounds.countTiles(pr.output.w, pr.dilation.w, horizontal.r)
      }
    sums = SumRoundings(.unknown(depth: depth), terms: terms)
  }

  /// Elements of a tile.
  var area: Int { vertical.tile * horizontal.tile }

  /// Values and variance proxies of samples, rows × columns.
  struct Result {
    var values, squares: [Double]
  }

  /// Of all samples; nil where the filter or a stride does not fit the transforms.
  func evaluate(_ grid: SampleGrid, pool: WorkerPool) -> Result? {
    let problem = grid.problem
    guard problem.stride.h == 1, problem.stride.w == 1 else { return nil }
    if grid.pass != .backwardFilter {
      guard vertical.r >= problem.filter.h, horizontal.r >= problem.filter.w else { return nil }
    }
    switch data.elementType {
    case .float64: return evaluate(grid, pool, as: Double.self)
    default: return evaluate(grid, pool, as: Float.self)
    }
  }

  private func evaluate<T: ConvScalar>(_ grid: SampleGrid, _ pool: WorkerPool, as: T.Type) -> Result {
    let (first, second) = data.operands(of: grid.pass)
    return first.withUnsafePointer(as: T.self) { a in
      second.withUnsafePointer(as: T.self) { b in
        grid.pass == .backwardFilter
          ? backwardFilter(grid, x: a, dy: b, pool) : convolution(grid, a, w: b, pool)
      }
    }
  }

  /// Roundings that reach one result: those of all elements of a tile, and of the inverse transform.
  var roundings: Double {
    let perProduct = filterTransform.roundings + inputTransform.roundings + 2
    return Double(area) * Double(sums.longest) * Double(perProduct) + Double(outputTransform.roundings)
  }

  // MARK: Products

  /// Sums of products of all elements of a tile, of one result channel.
  struct ProductSums {
    var values, carried, terms, path: [Double]

    init(area: Int) {
      values = [Double](repeating: 0, count: area)
      (carried, terms, path) = (values, values, values)
    }

    /// Adds the products of one summed channel or tile, each operand as values and proxies of `area` elements.
    @inline(__always)
    mutating func add(
      _ u: UnsafePointer<Double>, _ uSquares: UnsafePointer<Double>, _ v: UnsafePointer<Double>,
      _ vSquares: UnsafePointer<Double>, area: Int
    ) {
      values.withUnsafeMutableBufferPointer { values in
        carried.withUnsafeMutableBufferPointer { carried in
          terms.withUnsafeMutableBufferPointer { terms in
            path.withUnsafeMutableBufferPointer { path in
              for e in 0..<area {
                let product = u[e] * v[e]
                let sum = values[e] + product
                values[e] = sum
                path[e] += sum * sum
                terms[e] += product * product
                carried[e] += u[e] * u[e] * vSquares[e] + v[e] * v[e] * uSquares[e]
              }
            }
          }
        }
      }
    }

    mutating func add(_ other: ProductSums) {
      for e in values.indices {
        // Partial sums of a later part begin at the earlier one's.
        values[e] += other.values[e]
        carried[e] += other.carried[e]
        terms[e] += other.terms[e]
        path[e] += other.path[e]
      }
    }
  }

  /// The proxy of a sum of products.
  func squares(_ sums: ProductSums, _ e: Int) -> Double {
    sums.carried[e]
      + self.sums.squares(total: sums.values[e], terms: sums.terms[e], path: sums.path[e])
      + Double(self.sums.longest) * least
  }

  /// Tiles of `size` outputs in all residue classes of one axis.
  static func countTiles(_ output: Int, _ dilation: Int, _ size: Int) -> Int {
    let perResidue = (output + dilation - 1) / dilation
    // Residues beyond the outputs have none.
    return (perResidue + size - 1) / size * min(dilation, output)
  }
}
