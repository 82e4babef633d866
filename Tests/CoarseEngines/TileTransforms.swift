import ConvCore
import Foundation

/// The transforms of a tile, of 16 channels at a time.
protocol TileTransforms: Sendable {
  /// Elements of a window along height and width.
  var window: (h: Int, w: Int) { get }
  /// Elements of a tile of the operand that is the filter: taps, or for backwardFilter dy's.
  var taps: (h: Int, w: Int) { get }
  /// Results of a tile.
  var results: (h: Int, w: Int) { get }
  /// Products per pair of channels: real ones, or complex ones of two parts each.
  var bins: Int { get }
  var isComplex: Bool { get }
  /// A window [h][w] to [bins][parts].
  func input(_ window: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>)
  /// Taps [h][w] to [bins][parts], conjugated where that makes the products a correlation.
  func filter(_ taps: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>)
  /// Sums of products [bins][parts] to results [h][w].
  func output(_ spectrum: UnsafeMutablePointer<Lanes>, _ results: UnsafeMutablePointer<Lanes>)
}

/// 16 channels.
typealias Lanes = SIMD16<Float>

/// y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A with rounded matrices.
struct WinogradTiles: TileTransforms {
  private struct Matrices {
    let at, g, bt: [Float]
    let transform: WinogradTransform
    init(_ transform: WinogradTransform, bits: Int) {
      self.transform = transform
      at = transform.at.map { Significand.rounded($0, bits: bits) }
      g = transform.g.map { Significand.rounded($0, bits: bits) }
      bt = transform.bt.map { Significand.rounded($0, bits: bits) }
    }
  }
  private let vertical, horizontal: Matrices

  init(_ vertical: WinogradTransform, _ horizontal: WinogradTransform, bits: Int) {
    self.vertical = Matrices(vertical, bits: bits)
    self.horizontal = Matrices(horizontal, bits: bits)
  }

  var window: (h: Int, w: Int) { (vertical.transform.tile, horizontal.transform.tile) }
  var taps: (h: Int, w: Int) { (vertical.transform.r, horizontal.transform.r) }
  var results: (h: Int, w: Int) { (vertical.transform.m, horizontal.transform.m) }
  var bins: Int { window.h * window.w }
  var isComplex: Bool { false }

  func input(_ window: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>) {
    sandwich(vertical.bt, window, horizontal.bt, spectrum, from: self.window, to: self.window)
  }
  func filter(_ taps: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>) {
    sandwich(vertical.g, taps, horizontal.g, spectrum, from: self.taps, to: window)
  }
  func output(_ spectrum: UnsafeMutablePointer<Lanes>, _ results: UnsafeMutablePointer<Lanes>) {
    sandwich(vertical.at, spectrum, horizontal.at, results, from: window, to: self.results)
  }

  /// left · source · rightᵀ.
  private func sandwich(
    _ left: [Float], _ source: UnsafeMutablePointer<Lanes>, _ right: [Float],
    _ target: UnsafeMutablePointer<Lanes>, from: (h: Int, w: Int), to: (h: Int, w: Int)
  ) {
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: to.h * from.w) { half in
      for i in 0..<to.h {
        for j in 0..<from.w {
          var sum = Lanes.zero
          for k in 0..<from.h where left[i * from.h + k] != 0 {
            sum += left[i * from.h + k] * source[k * from.w + j]
          }
          half[i * from.w + j] = sum
        }
      }
      for i in 0..<to.h {
        for j in 0..<to.w {
          var sum = Lanes.zero
          for k in 0..<from.w where right[j * from.w + k] != 0 {
            sum += right[j * from.w + k] * half[i * from.w + k]
          }
          target[i * to.w + j] = sum
        }
      }
    }
  }
}

/// Overlap-save by discrete Fourier transforms with rounded roots of unity; of the spectrum of real data the half that is no mirror
/// image of the other.
struct FourierTiles: TileTransforms {
  let window, taps, results: (h: Int, w: Int)
  private let vertical, horizontal: RoundedFourier

  init(height: Int, width: Int, taps: (h: Int, w: Int), results: (h: Int, w: Int), bits: Int) {
    window = (height, width)
    self.taps = taps
    self.results = results
    vertical = RoundedFourier(height, bits: bits)
    horizontal = RoundedFourier(width, bits: bits)
  }

  private var half: Int { window.w / 2 + 1 }
  var bins: Int { window.h * half }
  var isComplex: Bool { true }

  func input(_ window: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>) {
    transform(window, self.window, 1, spectrum)
  }

  func filter(_ taps: UnsafeMutablePointer<Lanes>, _ spectrum: UnsafeMutablePointer<Lanes>) {
    transform(taps, self.taps, -1, spectrum)
  }

  private func transform(
    _ source: UnsafeMutablePointer<Lanes>, _ extent: (h: Int, w: Int), _ sign: Float,
    _ spectrum: UnsafeMutablePointer<Lanes>
  ) {
    let (height, width) = window
    withPlanes { re, im in
      for i in 0..<height {
        for j in 0..<width {
          let inside = i < extent.h && j < extent.w
          re[i * width + j] = inside ? source[i * extent.w + j] : .zero
          im[i * width + j] = .zero
        }
      }
      for i in 0..<extent.h { horizontal.transform(re + i * width, im + i * width, step: 1) }
      for j in 0..<half { vertical.transform(re + j, im + j, step: width) }
      for i in 0..<height {
        for j in 0..<half {
          spectrum[2 * (i * half + j)] = re[i * width + j]
          spectrum[2 * (i * half + j) + 1] = sign * im[i * width + j]
        }
      }
    }
  }

  /// The inverse transform is the forward one with real and imaginary parts exchanged.
  func output(_ spectrum: UnsafeMutablePointer<Lanes>, _ results: UnsafeMutablePointer<Lanes>) {
    let (height, width) = window
    withPlanes { re, im in
      for i in 0..<height {
        for j in 0..<width {
          let isMirrored = j >= half
          let bin = isMirrored ? (height - i) % height * half + width - j : i * half + j
          re[i * width + j] = spectrum[2 * bin]
          im[i * width + j] = isMirrored ? -spectrum[2 * bin + 1] : spectrum[2 * bin + 1]
        }
      }
      for j in 0..<width { vertical.transform(im + j, re + j, step: width) }
      let scale = 1 / Float(height * width)
      for i in 0..<self.results.h {
        horizontal.transform(im + i * width, re + i * width, step: 1)
        for j in 0..<self.results.w { results[i * self.results.w + j] = scale * re[i * width + j] }
      }
    }
  }

  private func withPlanes(_ body: (UnsafeMutablePointer<Lanes>, UnsafeMutablePointer<Lanes>) -> Void) {
    let count = window.h * window.w
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 2 * count) { planes in
      body(planes.baseAddress!, planes.baseAddress! + count)
    }
  }
}

/// A complex transform of any length, by its prime factors.
struct RoundedFourier: Sendable {
  private let length: Int
  private let factors: [Int]
  /// exp(−2πij/length).
  private let cosines, sines: [Float]

  init(_ length: Int, bits: Int) {
    self.length = length
    var factors: [Int] = []
    var rest = length
    var divisor = 2
    while rest > 1 {
      while rest % divisor == 0 {
        factors.append(divisor)
        rest /= divisor
      }
      divisor += 1
    }
    self.factors = factors
    let angles = (0..<length).map { -2 * Double.pi * Double($0) / Double(length) }
    cosines = angles.map { Significand.rounded(cos($0), bits: bits) }
    sines = angles.map { Significand.rounded(sin($0), bits: bits) }
  }

  /// In place, on elements that are `step` apart.
  func transform(_ re: UnsafeMutablePointer<Lanes>, _ im: UnsafeMutablePointer<Lanes>, step: Int) {
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 4 * length) { scratch in
      let (a, b) = (scratch.baseAddress!, scratch.baseAddress! + 2 * length)
      for i in 0..<length {
        a[2 * i] = re[i * step]
        a[2 * i + 1] = im[i * step]
      }
      recurse(length, 0, a, 1, b)
      for i in 0..<length {
        re[i * step] = b[2 * i]
        im[i * step] = b[2 * i + 1]
      }
    }
  }

  /// Decimation in time: `count` elements of `source`, `step` apart, to `target`.
  private func recurse(
    _ count: Int, _ level: Int, _ source: UnsafeMutablePointer<Lanes>, _ step: Int,
    _ target: UnsafeMutablePointer<Lanes>
  ) {
    if count == 1 {
      target[0] = source[0]
      target[1] = source[1]
      return
    }
    let radix = factors[level]
    let part = count / radix
    for i in 0..<radix {
      recurse(part, level + 1, source + 2 * i * step, step * radix, target + 2 * i * part)
    }
    withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 2 * radix) { terms in
      for k in 0..<part {
        for i in 0..<radix {
          terms[2 * i] = target[2 * (i * part + k)]
          terms[2 * i + 1] = target[2 * (i * part + k) + 1]
        }
        for j in 0..<radix {
          var re = terms[0], im = terms[1]
          for i in 1..<radix {
            let root = i * (j * part + k) % count * (length / count)
            let (cosine, sine) = (cosines[root], sines[root])
            re += cosine * terms[2 * i] - sine * terms[2 * i + 1]
            im += cosine * terms[2 * i + 1] + sine * terms[2 * i]
          }
          target[2 * (j * part + k)] = re
          target[2 * (j * part + k) + 1] = im
        }
      }
    }
  }
}
