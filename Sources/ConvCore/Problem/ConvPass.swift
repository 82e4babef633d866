/// Which of the three convolutions of a training step is computed.
public enum ConvPass: String, Sendable, Hashable, CaseIterable {
  /// y = x ∗ w.
  case forward
  /// dx from dy and w: the transposed convolution.
  case backwardData = "backward-data"
  /// dw from x and dy.
  case backwardFilter = "backward-filter"

  /// The pass that is this one of a transposed convolution: forward and backward-data change places.
  public var ofTransposed: ConvPass {
    switch self {
    case .forward: .backwardData
    case .backwardData: .forward
    case .backwardFilter: .backwardFilter
    }
  }
}
