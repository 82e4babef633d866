import ConvCore
import Testing

@testable import ConvOneDNN

/// The matrices that the error model of oneDNN's Winograd kernels is made of.
@Suite struct TransformTests {
  /// yⱼ = Σ wᵢ·xⱼ₊ᵢ through the transformed domain.
  @Test(arguments: [(4, 3), (3, 4), (2, 3), (3, 2)])
  func computeACorrelation(_ m: Int, _ r: Int) {
    let transform = OneDNNWinograd.transform(m: m, r: r)
    let tile = transform.tile
    #expect(transform.at.count == m * tile && transform.g.count == tile * r)
    #expect(transform.bt.count == tile * tile)
    let x = (0..<tile).map { Double($0 * $0 % 7) - 2 }
    let w = (0..<r).map { Double($0 * 5 % 4) - 1.5 }
    func times(_ matrix: [Double], _ rows: Int, _ vector: [Double]) -> [Double] {
      (0..<rows).map { row in
        vector.indices.reduce(0) { $0 + matrix[row * vector.count + $1] * vector[$1] }
      }
    }
    let products = zip(times(transform.g, tile, w), times(transform.bt, tile, x)).map { $0 * $1 }
    let y = times(transform.at, m, products)
    for j in 0..<m {
      let expected = (0..<r).reduce(0) { $0 + w[$1] * x[j + $1] }
      #expect(abs(y[j] - expected) < 1e-12, "F(\(m), \(r)), output \(j): \(y[j]), not \(expected)")
    }
  }

  /// The constants of oneDNN's sources: G_4x4_3x3 of its weight reorder, the input transform's of its tiles.
  @Test func areTheLibrarys() {
    let transform = OneDNNWinograd.transform(m: 4, r: 3)
    let g = [
      1.13777777777778, 0, 0, -0.688403361344538, -0.430252100840336, -0.26890756302521, -0.688403361344538,
      0.430252100840336, -0.26890756302521, 0.119514472455649, 0.179271708683473, 0.26890756302521,
      0.119514472455649, -0.179271708683473, 0.26890756302521, 0, 0, 1,
    ]
    for (own, theirs) in zip(transform.g, g) { #expect(abs(own - theirs) < 1e-13, "\(own), \(theirs)") }
    #expect(transform.bt[0..<6] == [0.87890625, 0, -2.640625, 0, 1, 0])
    #expect(transform.bt[6..<12] == [0, -1.40625, -2.25, 0.625, 1, 0])
  }
}
