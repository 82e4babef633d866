#if FFTW
  import CFFTW
  import ConvCore
  import Synchronization

  /// FFTW's real-to-complex and complex-to-real transforms of a batch of planes of one size.
  ///
  /// Real data are `count` dense planes of height × width; spectra are height × (width/2 + 1) complex
  /// numbers, of which the `count` planes' values are neighbours (plane index innermost). Each plane is a
  /// real transform of its own: no complex pair ever mixes two planes. The inverse is not scaled and
  /// destroys the spectra.
  ///
  /// Plans are made once per size with FFTW_ESTIMATE, behind a lock (FFTW's planner is not re-entrant, its
  /// new-array execution is), and live as long as the process.
  final class RealTransform: @unchecked Sendable {
    // @unchecked: the plans are immutable after planning.
    private let forwardPlan: OpaquePointer
    private let inversePlan: OpaquePointer
    private let elementType: ElementType
    /// Planes of a batch.
    let count: Int

    private struct Key: Hashable {
      var height, width, count: Int
      var elementType: ElementType
    }
    /// Elements of a plane: FFTW counts them in 32 bits.
    static let mostElements = Int(Int32.max)
    private static let plans = Mutex<[Key: RealTransform]>([:])

    /// The transform of this size, planned at its first use.
    ///
    /// A plane has `mostElements` at most.
    ///
    /// - Throws: `ConvError.unsupported` where FFTW has no plan, `MemoryError`.
    static func cached(
      height: Int, width: Int, count: Int, elementType: ElementType
    ) throws -> RealTransform {
      let key = Key(height: height, width: width, count: count, elementType: elementType)
      return try plans.withLock { plans in
        if let transform = plans[key] { return transform }
        let transform = try RealTransform(key)
        plans[key] = transform
        return transform
      }
    }

    /// FFTW's own name and version.
    static var libraryVersion: String { String(cString: vb_fftwf_version()) }

    private init(_ key: Key) throws {
      let size = [Int32(key.height), Int32(key.width)]
      let planes = Int32(key.count)
      let (plane, bins) = (key.height * key.width, key.height * (key.width / 2 + 1))
      // FFTW_ESTIMATE does not touch the arrays, but takes their alignment as that of all executions.
      let real = try PooledBuffer(byteCount: plane * key.count * key.elementType.byteCount)
      let spectra = try PooledBuffer(byteCount: 2 * bins * key.count * key.elementType.byteCount)
      let forward: OpaquePointer?
      let inverse: OpaquePointer?
      if key.elementType == .float64 {
        let x = real.baseAddress.assumingMemoryBound(to: Double.self)
        let f = spectra.baseAddress.assumingMemoryBound(to: fftw_complex.self)
        forward = fftw_plan_many_dft_r2c(
          2, size, planes, x, nil, 1, Int32(plane), f, nil, planes, 1, FFTW_ESTIMATE)
        inverse = fftw_plan_many_dft_c2r(
          2, size, planes, f, nil, planes, 1, x, nil, 1, Int32(plane), FFTW_ESTIMATE)
      } else {
        let x = real.baseAddress.assumingMemoryBound(to: Float.self)
        let f = spectra.baseAddress.assumingMemoryBound(to: fftwf_complex.self)
        forward = fftwf_plan_many_dft_r2c(
          2, size, planes, x, nil, 1, Int32(plane), f, nil, planes, 1, FFTW_ESTIMATE)
        inverse = fftwf_plan_many_dft_c2r(
          2, size, planes, f, nil, planes, 1, x, nil, 1, Int32(plane), FFTW_ESTIMATE)
      }
      guard let forward, let inverse else {
        throw ConvError.unsupported(
          backend: "fft", operation: "\(key.count) transforms of \(key.height)x\(key.width)",
          reason: "FFTW has no plan for this size")
      }
      forwardPlan = forward
      inversePlan = inverse
      elementType = key.elementType
      count = key.count
    }

    /// Spectra of the planes. Both pointers are 64-byte aligned.
    func forward(_ real: UnsafeMutableRawPointer, _ spectra: UnsafeMutableRawPointer) {
      if elementType == .float64 {
        fftw_execute_dft_r2c(
          forwardPlan, real.assumingMemoryBound(to: Double.self),
          spectra.assumingMemoryBound(to: fftw_complex.self))
      } else {
        fftwf_execute_dft_r2c(
          forwardPlan, real.assumingMemoryBound(to: Float.self),
          spectra.assumingMemoryBound(to: fftwf_complex.self))
      }
    }

    /// Planes times height·width of the spectra, which are destroyed. Both pointers are 64-byte aligned.
    func inverse(_ spectra: UnsafeMutableRawPointer, _ real: UnsafeMutableRawPointer) {
      if elementType == .float64 {
        fftw_execute_dft_c2r(
          inversePlan, spectra.assumingMemoryBound(to: fftw_complex.self),
          real.assumingMemoryBound(to: Double.self))
      } else {
        fftwf_execute_dft_c2r(
          inversePlan, spectra.assumingMemoryBound(to: fftwf_complex.self),
          real.assumingMemoryBound(to: Float.self))
      }
    }
  }
#endif
