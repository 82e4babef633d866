import ConvAutograd
import ConvCore
import Synchronization

/// How the elements of a parameter begin.
public enum Initializer: Hashable, Sendable {
  /// Uniform in ±bound.
  case uniform(bound: Double)
  /// All equal.
  case constant(Double)

  /// PyTorch's default for linear and convolution layers, weights and biases: uniform in ±1/√fanIn (for weights that
  /// is its kaiming_uniform with a = √5).
  public static func fanIn(_ count: Int) -> Initializer { .uniform(bound: 1 / Double(count).squareRoot()) }

  /// A tensor that begins so. Uniform element j is float32((2·uᵢ − 1)·bound), computed in float64 from number j of
  /// `random`: equal in every language that has Philox.
  public func tensor(_ shape: [Int], _ elementType: ElementType, _ random: Philox) throws -> Tensor {
    switch self {
    case .constant(let value):
      return try Tensor.full(shape, Float(value)).converted(to: elementType)
    case .uniform(let bound):
      var tensor = try Tensor(uninitialized: shape)
      let count = tensor.count
      let block = 4096
      tensor.withUnsafeMutablePointer(as: Float.self) { values in
        ConvolutionContext.current.pool.parallelFor((count + block - 1) / block) { chunk in
          for i in chunk * block..<min(count, (chunk + 1) * block) {
            values[i] = Float((2 * random.uniform(at: UInt64(i)) - 1) * bound)
          }
        }
      }
      return try tensor.converted(to: elementType)
    }
  }
}

/// (Re)initialises all parameters of a model by their layers' initialisers.
///
/// Parameter i, in the order of `parameters()`, uses `Philox(seed: seed, stream: i)`, so that the same numbers can be
/// made elsewhere. Running statistics begin anew.
public func initialize(_ model: some Module, seed: UInt64) throws {
  var initializers: [ObjectIdentifier: Initializer] = [:]
  for (_, module) in model.namedModules() {
    for member in module.members {
      guard case .parameter(let parameter) = member.kind else { continue }
      let id = ObjectIdentifier(parameter)
      if initializers[id] == nil { initializers[id] = module.initializer(ofParameter: member.name) }
    }
    (module as? BatchNorm2d)?.resetRunningStatistics()
  }
  for (stream, parameter) in model.parameters().enumerated() {
    guard let initializer = initializers[ObjectIdentifier(parameter)] else { continue }
    parameter.value = try initializer.tensor(
      parameter.shape, parameter.elementType, Philox(seed: seed, stream: UInt32(stream)))
    parameter.zeroGrad()
  }
}

/// The seed and the counters that new layers take their random numbers from.
final class InitializationSource: Sendable {
  let seed: UInt64
  private let parameters = Atomic<UInt32>(0)
  private let generators = Atomic<UInt64>(0)

  init(seed: UInt64) { self.seed = seed }

  @TaskLocal private static var scoped: InitializationSource?
  private static let processWide = InitializationSource(seed: 0)
  static var current: InitializationSource { scoped ?? processWide }

  static func scope<R>(seed: UInt64, _ body: () throws -> R) rethrows -> R {
    try $scoped.withValue(InitializationSource(seed: seed)) { try body() }
  }

  /// The sequence of the next parameter.
  func nextParameter() -> Philox {
    Philox(seed: seed, stream: parameters.wrappingAdd(1, ordering: .relaxed).oldValue)
  }

  /// The seed of the next layer that draws numbers when it runs; independent of the parameters' sequences.
  func nextGeneratorSeed() -> UInt64 {
    let index = generators.wrappingAdd(1, ordering: .relaxed).oldValue
    let sequence = Philox(seed: seed, stream: .max)
    return UInt64(sequence.word(at: 2 * index)) | UInt64(sequence.word(at: 2 * index + 1)) << 32
  }
}

/// Runs `body`, in which new layers take their initial parameters from `seed`.
///
/// Parameters count from 0 in the order of their creation; a model whose layers are created in declaration order gets
/// what `initialize(_:seed:)` gives it. Outside of such a scope the seed is 0 and the count goes on through the process.
public func withSeed<R>(_ seed: UInt64, _ body: () throws -> R) rethrows -> R {
  try InitializationSource.scope(seed: seed, body)
}

/// A new parameter.
func newParameter(_ shape: [Int], _ initializer: Initializer) throws -> Variable {
  let random = InitializationSource.current.nextParameter()
  return Variable(try initializer.tensor(shape, .float32, random), requiresGrad: true)
}
