/// What a plan does, in amounts by kind: the data that predictions of time are made from. Like the error model it states no result:
/// engines know what they do, `WorkPrices` say what it costs on a machine.
public struct ConvWork: Hashable, Sendable {
  /// Kinds of work that have a price of their own.
  public enum Kind: Int, Sendable, Hashable, CaseIterable {
    // Arithmetic.

    /// FLOPs of our matrix kernels over packed panels, empty rows and lanes of their tiles included.
    case products
    /// The same where the left operand is the image itself.
    case implicitProducts
    /// FLOPs of a library's matrix products.
    case libraryProducts
    /// FLOPs of vectors that are not reused, empty lanes included: depthwise windows.
    case windows
    /// FLOPs of tile transforms by small matrices, empty lanes included.
    case transforms
    /// The same by matrices that no kernel was made for.
    case plainTransforms
    /// Our Fourier transforms across channels, in nanoseconds of the core that they were first measured on.
    case fourier
    /// FLOPs of our complex products across channels.
    case spectralProducts
    /// A library's Fourier transforms, in nanoseconds of the core that they were first measured on.
    case libraryTransforms
    /// Nanoseconds by an engine's own model, on the core that it was made for.
    case modelled

    // Memory.

    /// Bytes read or written one after the other, near, shared and far (`Access`).
    case moved, movedShared, movedFar
    /// Bytes read from or written to many places in turn, vector by vector: planes of transformed tiles, spectra.
    case spread, spreadShared, spreadFar
    /// Bytes that change their order: transpositions between NCHW and NHWC.
    case reordered, reorderedShared, reorderedFar
    /// Bytes that are read or written element by element.
    case gathered, gatheredShared, gatheredFar
    /// Bytes that a library packs before it multiplies.
    case packed, packedShared, packedFar

    // Overheads.

    /// Short runs that are copied or added.
    case runs
    /// Calls of our kernels and tasks.
    case calls
    /// Calls of a library's products.
    case libraryCalls

    /// Whether its price changes with the element type: arithmetic in float64 is half as fast, bytes are bytes.
    var isArithmetic: Bool {
      switch self {
      case .products, .implicitProducts, .libraryProducts, .windows, .transforms, .plainTransforms, .fourier,
        .spectralProducts, .libraryTransforms, .modelled:
        true
      default: false
      }
    }
  }

  /// Ways to memory, each at three distances.
  public enum Access: Sendable, CaseIterable {
    case moved, spread, reordered, gathered, packed

    /// Its prices, from near to far.
    public var kinds: (near: Kind, shared: Kind, far: Kind) {
      switch self {
      case .moved: (.moved, .movedShared, .movedFar)
      case .spread: (.spread, .spreadShared, .spreadFar)
      case .reordered: (.reordered, .reorderedShared, .reorderedFar)
      case .gathered: (.gathered, .gatheredShared, .gatheredFar)
      case .packed: (.packed, .packedShared, .packedFar)
      }
    }
  }

  private var amounts = [Double](repeating: 0, count: Kind.allCases.count)

  /// No work.
  public init() {}

  /// The amount of one kind.
  public subscript(_ kind: Kind) -> Double {
    get { amounts[kind.rawValue] }
    set { amounts[kind.rawValue] = newValue }
  }

  /// Amounts by kind, as in `ConvWork([.products: 1e9])`.
  public init(_ amounts: [Kind: Double]) {
    for (kind, amount) in amounts { self[kind] = amount }
  }

  /// Both.
  public static func + (a: ConvWork, b: ConvWork) -> ConvWork {
    var sum = a
    for i in sum.amounts.indices { sum.amounts[i] += b.amounts[i] }
    return sum
  }

  /// The same so many times.
  public static func * (count: Double, work: ConvWork) -> ConvWork {
    var product = work
    for i in product.amounts.indices { product.amounts[i] *= count }
    return product
  }
}

extension ConvWork.Kind {
  /// As in `libraryProducts`: the name in reports and profiles.
  public var name: String { ConvWork.Kind.names[rawValue] }

  /// The kind of that name.
  public init?(name: String) {
    guard let index = ConvWork.Kind.names.firstIndex(of: name) else { return nil }
    self.init(rawValue: index)
  }

  private static let names = allCases.map { "\($0)" }
}

extension ConvWork {
  /// Footprints in bytes at which an access is priced as near (an L2 cache), shared (a last-level cache) and far (memory). Between
  /// them the amount is shared out by the logarithm: the price is linear in it. The anchors are the same on every machine; what
  /// lies behind them is in the prices.
  static let anchors = (near: 0x1p19, shared: 0x1p22, far: 0x1p26)

  /// Bytes that pass through memory of `footprint` bytes which is used again and again.
  public mutating func add(_ access: Access, _ bytes: Double, of footprint: Double) {
    let (near, shared, far) = access.kinds
    let anchors = ConvWork.anchors
    if footprint <= anchors.near {
      self[near] += bytes
    } else if footprint >= anchors.far {
      self[far] += bytes
    } else if footprint <= anchors.shared {
      let part = ConvWork.logarithmicPart(footprint, anchors.near, anchors.shared)
      self[near] += bytes * (1 - part)
      self[shared] += bytes * part
    } else {
      let part = ConvWork.logarithmicPart(footprint, anchors.shared, anchors.far)
      self[shared] += bytes * (1 - part)
      self[far] += bytes * part
    }
  }

  private static func logarithmicPart(_ value: Double, _ low: Double, _ high: Double) -> Double {
    (value / low).binaryLogarithm / (high / low).binaryLogarithm
  }

  /// An image of so many bytes that is read or written once, by vectors of `channels` channels at a time, of operands of `footprint`
  /// bytes together.
  ///
  /// NHWC lies as it is wanted. NCHW is transposed on the way: line by line from as many planes as there are channels. Planes that lie
  /// whole pages apart meet in the same sets of the L1 cache, where lines are lost before all of them is used; planes of many channels
  /// lie on as many pages, where no prefetcher follows.
  public mutating func addImage(
    _ format: MemoryFormat, _ bytes: Double, channels: Int, planeBytes: Int, of footprint: Double
  ) {
    guard format == .nchw else { return add(.moved, bytes, of: footprint) }
    if channels >= 16 && planeBytes % 4096 == 0 { return add(.gathered, 4 * bytes, of: footprint) }
    if channels >= 128 { return add(.gathered, 3 * bytes, of: footprint) }
    add(.reordered, bytes, of: footprint)
  }
}

extension ConvWork: CustomStringConvertible {
  /// As in `products=1.2e9 moved=3e6`.
  public var description: String {
    Kind.allCases.filter { self[$0] != 0 }.map { "\($0.name)=\(self[$0].significant)" }.joined(
      separator: " ")
  }
}

extension ConvWork {
  /// The work that `description` says; nil for other texts.
  public init?(text: String) {
    self.init()
    for part in text.split(separator: " ") {
      let sides = part.split(separator: "=", maxSplits: 1)
      guard sides.count == 2, let kind = Kind(name: String(sides[0])), let amount = Double(sides[1]),
        (0...1e100).contains(amount)
      else {
        return nil
      }
      self[kind] = amount
    }
  }
}

extension Double {
  /// Four significant digits.
  fileprivate var significant: String {
    guard self != 0, isFinite else { return "\(self)" }
    var (scaled, power) = (self, 0)
    while abs(scaled) >= 10 { (scaled, power) = (scaled / 10, power + 1) }
    return "\((scaled * 1000).rounded() / 1000)e\(power)"
  }

  /// log₂ of a positive number, linear between powers of two: within 0.09, without a library.
  fileprivate var binaryLogarithm: Double { Double(exponent) + significand - 1 }
}

extension ConvOperation {
  /// Bytes of x, y and w together: what an execution at least passes through.
  public var operandBytes: Double {
    let counts = [problem.inputShape, problem.outputShape, problem.filterShape]
    return counts.reduce(0) { $0 + $1.reduce(Double(elementType.byteCount)) { $0 * Double($1) } }
  }
}

/// Predicted times of work on one core of a machine, in warm caches: the sum of amounts times prices.
///
/// They follow from the work alone, never from a measurement of the running process or its threads, so that with equal prices equal
/// operations get equal plans.
public struct WorkPrices: Hashable, Sendable {
  private var nanosecondsPerUnit = [Double](repeating: 0, count: ConvWork.Kind.allCases.count)

  /// Nothing costs anything.
  public init() {}

  /// Nanoseconds per unit of each kind; what is left out costs nothing.
  public init(_ prices: [ConvWork.Kind: Double]) {
    for (kind, price) in prices { self[kind] = price }
  }

  /// Nanoseconds of one unit.
  public subscript(_ kind: ConvWork.Kind) -> Double {
    get { nanosecondsPerUnit[kind.rawValue] }
    set { nanosecondsPerUnit[kind.rawValue] = newValue }
  }

  /// Predicted nanoseconds of one core. Arithmetic in float64 costs twice as much.
  public func nanoseconds(_ work: ConvWork, elementType: ElementType = .float32) -> Double {
    var time = 0.0
    for kind in ConvWork.Kind.allCases where work[kind] != 0 {
      let isDouble = elementType == .float64 && kind.isArithmetic
      time += (isDouble ? 2 : 1) * self[kind] * work[kind]
    }
    return time
  }
}
