/// What a plan does, in amounts by kind: the data that `CostModel` predicts times from. Like the error model it states no result:
/// engines know what they do, the core prices it.
public struct ConvWork: Hashable, Sendable {
  /// Kinds of work that have a price of their own.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// FLOPs of our matrix kernels, empty rows and lanes of their tiles included.
    case products
    /// The same where the left operand is the image itself.
    case implicitProducts
    /// FLOPs of a library's matrix products.
    case libraryProducts
    /// FLOPs of vectors that are not reused: depthwise windows.
    case windows
    /// Bytes written to and read from planes, columns and panels, by whole vectors.
    case moved
    /// Bytes that change their order: transpositions between NCHW and NHWC, gathers, scatters.
    case reordered
    /// Bytes read again from beyond the L1 cache because a block does not fit there.
    case streamed
    /// Calls of kernels and tasks.
    case calls
    /// Nanoseconds by an engine's own model, on the core that the prices were measured on.
    case modelled
  }

  private var amounts = [Double](repeating: 0, count: Kind.allCases.count)

  /// No work.
  public init() {}

  /// The amount of one kind.
  public subscript(_ kind: Kind) -> Double {
    get { amounts[ConvWork.index(kind)] }
    set { amounts[ConvWork.index(kind)] = newValue }
  }

  private static func index(_ kind: Kind) -> Int { Kind.allCases.firstIndex(of: kind) ?? 0 }

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

extension ConvWork {
  /// An image of so many bytes that is read or written once; NCHW is transposed on the way to vectors of channels.
  public mutating func addImage(_ format: MemoryFormat, _ bytes: Double) {
    self[format == .nhwc ? .moved : .reordered] += bytes
  }
}

extension ConvWork: CustomStringConvertible {
  /// As in `products=1.2e9 moved=3e6`.
  public var description: String {
    Kind.allCases.filter { self[$0] != 0 }.map { "\($0.rawValue)=\(self[$0].significant)" }.joined(
      separator: " ")
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
}

/// Prices of work: predicted times, by which the automatic backend chooses.
///
/// Times of one core in warm caches. They follow from the operation and the instruction set alone, never from a measurement of the
/// running process or its threads, so that equal operations get equal plans.
public enum CostModel {
  /// Nanoseconds of one unit on a core with AVX2: non-negative least squares of the relative errors over 34 layers of all kinds, in
  /// both formats and three passes, on one thread (`results.csv` has work and time side by side). Overheads are in the amounts.
  static let prices: [ConvWork.Kind: Double] = [
    .products: 0.0109, .implicitProducts: 0.0086, .libraryProducts: 0.0125, .windows: 0.0152, .moved: 0.0344,
    .reordered: 0.129, .streamed: 0.0021, .calls: 5, .modelled: 0.77,
  ]

  /// How much faster arithmetic is than on the core of the prices.
  static func arithmetic(_ instructionSet: InstructionSet) -> Double {
    switch instructionSet {
    case .avx512: 2.8
    case .avx2: 1
    case .baseline: 0.3
    }
  }

  /// Predicted nanoseconds of one core.
  public static func nanoseconds(
    _ work: ConvWork, elementType: ElementType = .float32, instructionSet: InstructionSet = .current
  ) -> Double {
    var time = 0.0
    for kind in ConvWork.Kind.allCases {
      var price = prices[kind] ?? 0
      switch kind {
      case .products, .implicitProducts, .libraryProducts, .windows, .modelled:
        price /= arithmetic(instructionSet)
        if elementType == .float64 { price *= 2 }
      case .moved, .reordered, .streamed, .calls:
        break
      }
      time += price * work[kind]
    }
    return time
  }
}

extension ConvPlan {
  /// Predicted nanoseconds of one execution on one core.
  public var predictedNanoseconds: Double {
    CostModel.nanoseconds(work, elementType: operation.elementType)
  }
}
