#if OneDNN
  internal import CDNNL
  import ConvCore

  /// Which of oneDNN's algorithms is to be used.
  enum OneDNNAlgorithm: String, CaseIterable {
    /// Sums of products.
    case direct
    /// F(4×4, 3×3) or F(2×2, 3×3), AVX-512 only.
    case winograd
    /// oneDNN's own choice.
    case auto

    /// From `algorithm=…` or `onednn[algorithm=…]`; nil is `auto`.
    ///
    /// - Throws: `OneDNNRefusal` with the known ones.
    init(variant: String?) throws {
      guard let variant else {
        self = .auto
        return
      }
      var text = Substring(variant)
      if text.hasPrefix("onednn["), text.hasSuffix("]") { text = text.dropFirst(7).dropLast() }
      let known = OneDNNAlgorithm.allCases.first { text == "algorithm=\($0.rawValue)" }
      guard let known else {
        let names = OneDNNAlgorithm.allCases.map { "algorithm=\($0.rawValue)" }.joined(separator: ", ")
        throw OneDNNRefusal(reason: "'\(variant)' is no variant of onednn; it has \(names)")
      }
      self = known
    }

    /// For descriptors.
    var kind: dnnl_alg_kind_t {
      switch self {
      case .direct: dnnl_convolution_direct
      case .winograd: dnnl_convolution_winograd
      case .auto: dnnl_convolution_auto
      }
    }
  }

  /// Why the engine declines.
  struct OneDNNRefusal: Error {
    let reason: String
  }
#endif
