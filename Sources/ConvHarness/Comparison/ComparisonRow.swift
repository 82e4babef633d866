import ConvCore

/// The kinds of layers over which ratios are averaged.
public enum ComparisonGroup: String, Sendable, Hashable, CaseIterable {
  case depthwise
  case first = "first layers"
  case stridedData = "strided backward data"
  case dense3x3 = "3x3 s1 C>=32"
  case dense5x5 = "5x5"
  case medium = "7x7..15x15"
  case large = "31x31"
  case pointwise = "1x1"
  case training = "training step"
  case other

  /// The group of a layer: the first one that fits, in the order of the cases.
  public init(_ problem: ConvProblem, _ pass: ConvPass) {
    let (r, s) = (problem.filter.h, problem.filter.w)
    let isDense = problem.stride == Extent(w: 1) && problem.dilation == Extent(w: 1)
    if problem.groups > 1 && problem.cPerGroup == 1 {
      self = .depthwise
    } else if problem.c <= 4 {
      self = .first
    } else if problem.stride != Extent(w: 1) && pass == .backwardData {
      self = .stridedData
    } else if r != s || problem.spatialRank != 2 || problem.groups > 1 {
      self = .other
    } else if r == 3 && isDense && problem.c >= 32 {
      self = .dense3x3
    } else if r == 5 {
      self = .dense5x5
    } else if (7...15).contains(r) {
      self = .medium
    } else if r == 31 {
      self = .large
    } else if r == 1 {
      self = .pointwise
    } else {
      self = .other
    }
  }
}

/// One row of `comparison.csv`: an engine beside the peer on one layer, or on training steps.
public struct ComparisonRow: Sendable {
  public var suite: String
  public var problem: String
  public var name: String
  public var group: ComparisonGroup
  /// A pass, or `training`.
  public var pass: String
  public var backend: String
  /// Whether the backend is an engine or chooses among engines.
  public var role = Competitor.Role.engine
  public var threads: Int
  public var filterState: String
  /// The peer, its version, and its fastest configuration on this row.
  public var peer: PeerIdentity
  public var peerConfiguration = ""
  /// Ours, and the peer's; for training steps the first losses stand in the reason.
  public var verification = Verification(.missingReference, reason: "not verified")
  public var peerVerification = Verification(.missingReference, reason: "not verified")
  /// Seconds per execution, by round.
  public var own: [Double] = []
  public var peers: [Double] = []
  /// Peer's time / own time.
  public var ratio: Speedup?
  public var variant = ""
  public var executedBy = ""
  /// Memory format of images and activations on our side.
  public var format = MemoryFormat.nhwc
  /// What the caches held when a sample began, on both sides; training steps follow each other.
  public var cache = CacheState.warm

  /// Least time of the peer / least own time.
  public var ratioOfMinima: Double {
    guard let own = own.min(), let peer = peers.min() else { return .nan }
    return peer / own
  }

  /// Puts in the times of both sides, paired by round.
  public mutating func set(own: [Double], peers: [Double], configuration: String, seed: UInt64) {
    self.own = own
    self.peers = peers
    peerConfiguration = configuration
    ratio = own.isEmpty ? nil : Speedup(baseline: peers, own: own, seed: seed)
  }

  static let columns: [(name: String, value: @Sendable (ComparisonRow) -> String)] = [
    ("suite", { $0.suite }), ("problem", { $0.problem }), ("name", { $0.name }),
    ("group", { $0.group.rawValue }), ("pass", { $0.pass }), ("backend", { $0.backend }),
    ("threads", { "\($0.threads)" }), ("format", { $0.format.rawValue }),
    ("filter_state", { $0.filterState }),
    ("peer", { $0.peer.name }),
    ("peer_version", { $0.peer.version }), ("peer_configuration", { $0.peerConfiguration }),
    ("verdict", { $0.verification.verdict.rawValue }), ("reason", { $0.verification.reason }),
    ("peer_verdict", { $0.peerVerification.verdict.rawValue }),
    ("peer_reason", { $0.peerVerification.reason }), ("rounds", { "\($0.own.count)" }),
    ("median_ms", { CSV.number(Statistics.median($0.own) * 1e3) }),
    ("min_ms", { CSV.number($0.own.min().map { $0 * 1e3 }) }),
    ("peer_median_ms", { CSV.number(Statistics.median($0.peers) * 1e3) }),
    ("peer_min_ms", { CSV.number($0.peers.min().map { $0 * 1e3 }) }),
    ("ratio", { CSV.number($0.ratio?.ratio) }), ("ratio_low", { CSV.number($0.ratio?.low) }),
    ("ratio_high", { CSV.number($0.ratio?.high) }), ("ratio_of_minima", { CSV.number($0.ratioOfMinima) }),
    ("verdict_speed", { $0.ratio?.verdict.rawValue ?? "" }),
    ("error_ratio", { CSV.number($0.verification.errorRatio) }),
    ("peer_error_ratio", { CSV.number($0.peerVerification.errorRatio) }), ("variant", { $0.variant }),
    ("executed_by", { $0.executedBy }), ("cache", { $0.cache.rawValue }),
    ("role", { $0.role.rawValue }),
    ("effective_bits", { CSV.number($0.verification.effectiveBits) }),
    ("correlated", { "\($0.verification.isCorrelated)" }),
    ("peer_effective_bits", { CSV.number($0.peerVerification.effectiveBits) }),
    ("peer_correlated", { "\($0.peerVerification.isCorrelated)" }),
  ]

  /// `comparison.csv`.
  public static func csv(_ rows: [ComparisonRow]) -> String {
    CSV.text(header: columns.map(\.name), rows: rows.map { row in columns.map { $0.value(row) } })
  }
}
