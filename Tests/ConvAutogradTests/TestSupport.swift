import ConvAutograd
import ConvCore
import ConvNaive

/// A float64 tensor of standard normal numbers from a seed that failures can name.
func normal(_ shape: [Int], seed: UInt64, scale: Double = 1, offset: Double = 0) throws -> Tensor {
  let random = Philox(seed: seed, stream: 77)
  let count = shape.reduce(1, *)
  return try Tensor((0..<count).map { random.normal(at: UInt64($0)) * scale + offset }, shape: shape)
}

/// Numbers whose distances from each other and from 0 are far above any difference quotient's step: for functions
/// with kinks.
func spread(_ shape: [Int], seed: UInt64) throws -> Tensor {
  let count = shape.reduce(1, *)
  var generator = PhiloxGenerator(seed: seed)
  let order = (0..<count).shuffled(using: &generator)
  return try Tensor(order.map { (Double($0) - Double(count) / 2 + 0.25) * 0.1 }, shape: shape)
}

/// Runs `body` on the naive engine.
func onNaive<R>(_ body: () throws -> R) rethrows -> R { try withBackend(.naive, body) }
