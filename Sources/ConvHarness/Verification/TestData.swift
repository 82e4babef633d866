import ConvCore
import Foundation

/// How the elements of generated operands are distributed.
public enum DataDistribution: String, Sendable, Hashable, CaseIterable {
  /// Uniform on [−1, 1).
  case uniform
  /// Standard normal.
  case normal
  /// Integers from −2 to 2.
  case smallIntegers = "integers"
  /// Normal about 8: a mean far from zero, eight times the spread. Plain sums do not cancel; transforms, whose rows sum to zero,
  /// do, and keep the roundings of the large numbers.
  case offset
  /// Nine of ten are zero, the others normal.
  case sparse
  /// One number again and again: every rounding errs in the same direction.
  case constant
  /// From the smallest to the largest, without chance: partial sums go far away and come back.
  case sorted
  /// One number per plane, as the gradient behind a global average is.
  case planes
  /// So small that products are subnormal numbers.
  case subnormal

  /// Whether roundings of sums of such numbers may be taken for independent ones.
  var isRandom: Bool {
    switch self {
    case .uniform, .normal, .smallIntegers, .offset, .sparse: true
    case .constant, .sorted, .planes, .subnormal: false
    }
  }
}

/// Operands as pure functions of seed and tensor number, through `Philox`.
public enum TestData {
  /// Streams of the operands of one problem.
  public enum Operand: UInt32, Sendable { case input, filter, output, bias }

  /// A tensor of `shape` in logical order.
  ///
  /// Values are float32 numbers in both element types, so that a float64 run sees the same problem.
  /// - Throws: `ConvError` for shapes that no tensor can have.
  public static func tensor(
    _ shape: [Int], elementType: ElementType, _ distribution: DataDistribution, seed: UInt64,
    operand: Operand, pool: WorkerPool = .shared
  ) throws -> Tensor {
    var tensor = try Tensor(uninitialized: shape, elementType: .float32)
    let count = tensor.count
    let philox = Philox(seed: seed, stream: operand.rawValue)
    let plane = shape.dropFirst(2).reduce(1, *)
    tensor.withUnsafeMutablePointer(as: Float.self) { values in
      let chunk = 1 << 14
      pool.parallelFor((count + chunk - 1) / chunk) { task in
        for i in task * chunk..<min(count, (task + 1) * chunk) {
          values[i] =
            switch distribution {
            case .constant: value(philox, 0, .uniform)
            case .sorted: Float((2 * Double(i) + 1) / Double(count) - 1)
            case .planes: value(philox, UInt64(i / plane), .normal)
            default: value(philox, UInt64(i), distribution)
            }
        }
      }
    }
    return try tensor.converted(to: elementType)
  }

  private static func value(_ philox: Philox, _ index: UInt64, _ distribution: DataDistribution) -> Float {
    switch distribution {
    case .uniform, .constant, .sorted: Float(2 * philox.uniform(at: index) - 1)
    case .subnormal: Float(philox.normal(at: index) * 0x1p-66)
    case .normal, .planes: Float(philox.normal(at: index))
    case .smallIntegers: Float(Int(philox.uniform(at: index) * 5) - 2)
    case .offset: Float(8 + philox.normal(at: index))
    case .sparse:
      philox.uniform(at: 2 * index) < 0.9 ? 0 : Float(philox.normal(at: 2 * index + 1))
    }
  }
}

/// The tensors of one problem, in logical order: x, w and dy.
public struct ProblemData: Sendable {
  /// The problem that the tensors belong to.
  public let problem: ConvProblem
  /// x [N, C, (D,) (H,) W].
  public var input: Tensor { didSet { isDrawn = false } }
  /// w [K, C/g, (T,) (R,) S].
  public var filter: Tensor { didSet { isDrawn = false } }
  /// dy [N, K, (Z,) (P,) Q].
  public var outputGradient: Tensor { didSet { isDrawn = false } }
  /// Whether the harness drew all of them at random, so that the roundings of their sums may be taken for independent ones.
  public private(set) var isDrawn: Bool

  /// Given tensors.
  ///
  /// - Throws: `ConvError.shapeMismatch`, `.elementTypeMismatch`.
  public init(problem: ConvProblem, input: Tensor, filter: Tensor, outputGradient: Tensor) throws {
    for (what, tensor, shape) in [
      ("input", input, problem.inputShape), ("filter", filter, problem.filterShape),
      ("output gradient", outputGradient, problem.outputShape),
    ] {
      guard tensor.shape == shape else {
        throw ConvError.shapeMismatch(what: what, expected: shape, found: tensor.shape)
      }
      guard tensor.elementType == input.elementType else {
        throw ConvError.elementTypeMismatch(
          what: what, expected: input.elementType, found: tensor.elementType)
      }
    }
    self.problem = problem
    isDrawn = false
    self.input = try input.converted(to: MemoryFormat.nchw)
    self.filter = try filter.converted(to: MemoryFormat.nchw)
    self.outputGradient = try outputGradient.converted(to: MemoryFormat.nchw)
  }

  /// Generated tensors.
  ///
  /// - Throws: `MemoryError`.
  public init(
    problem: ConvProblem, elementType: ElementType = .float32, distribution: DataDistribution = .uniform,
    seed: UInt64, pool: WorkerPool = .shared
  ) throws {
    self.problem = problem
    isDrawn = distribution.isRandom
    func make(_ shape: [Int], _ operand: TestData.Operand) throws -> Tensor {
      try TestData.tensor(
        shape, elementType: elementType, distribution, seed: seed, operand: operand, pool: pool)
    }
    input = try make(problem.inputShape, .input)
    filter = try make(problem.filterShape, .filter)
    outputGradient = try make(problem.outputShape, .output)
  }

  /// The element type of all three.
  public var elementType: ElementType { input.elementType }

  /// The two tensors that a pass reads, in the order (x, w), (dy, w), (x, dy).
  public func operands(of pass: ConvPass) -> (Tensor, Tensor) {
    switch pass {
    case .forward: (input, filter)
    case .backwardData: (outputGradient, filter)
    case .backwardFilter: (input, outputGradient)
    }
  }
}
