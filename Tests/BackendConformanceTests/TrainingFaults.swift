import ConvAutograd
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Foundation
import Testing

/// One thing that a training run does otherwise than the reference says.
struct TrainingFault: Sendable, CustomTestStringConvertible {
  let name: String
  var change: @Sendable (inout TrainingSetup) -> Void = { _ in }
  /// Puts something wrong in the place of the engine.
  var engine: @Sendable (any ConvolutionBackend) -> any ConvolutionBackend = { $0 }
  var testDescription: String { name }

  func setup() -> TrainingSetup {
    var result = TrainingSetup()
    change(&result)
    return result
  }
}

extension TrainingFault {
  // MARK: The optimizer

  static let learningRate = attribute("learning rate × 0.9") {
    $0["lr"] = .real(($0["lr"]?.number ?? 0) * 0.9)
  }
  static let firstMoment = attribute("β₁ 0.8 for 0.9") {
    $0["betas"] = .array([.real(0.8), .real(0.999)])
  }
  static let secondMoment = attribute("β₂ 0.99 for 0.999") {
    $0["betas"] = .array([.real(0.9), .real(0.99)])
  }
  static let nearSecondMoment = attribute("β₂ 0.998 for 0.999") {
    $0["betas"] = .array([.real(0.9), .real(0.998)])
  }
  static let epsilon = attribute("ε 1e-6 for 1e-8") { $0["eps"] = .real(1e-6) }
  static let weightDecay = attribute("weight decay 1e-4 for 0") { $0["weight_decay"] = .real(1e-4) }

  private static func attribute(
    _ name: String, _ change: @escaping @Sendable (inout [String: JSONValue]) -> Void
  ) -> TrainingFault {
    TrainingFault(
      name: name,
      change: {
        $0.optimizer = { parameters, attributes in
          var attributes = attributes
          change(&attributes)
          return try TrainingSetup().optimizer(parameters, attributes)
        }
      })
  }

  /// One bias that is never updated.
  static func frozen(_ bias: String) -> TrainingFault {
    TrainingFault(
      name: "\(bias) frozen",
      change: {
        $0.optimizer = { parameters, attributes in
          try TrainingSetup().optimizer(parameters.filter { $0.name != bias }, attributes)
        }
      })
  }

  // MARK: The data

  static let swappedBatch = TrainingFault(
    name: "a swapped batch", change: { $0.batch = { stored, step in stored[[0, 2, 1][step]] } })
  static let dimImages = images("images × 0.9") { values, _ in values.map { $0 * 0.9 } }
  static let mirroredImages = images("mirrored images") { values, width in
    values.indices.map { values[$0 / width * width + width - 1 - $0 % width] }
  }

  /// - Parameter change: of the elements [N, C, H, W], given W.
  private static func images(
    _ name: String, _ change: @escaping @Sendable ([Float], Int) -> [Float]
  ) -> TrainingFault {
    TrainingFault(
      name: name,
      change: {
        $0.batch = { stored, step in
          let (images, labels) = stored[step]
          let values = change(images.values(as: Float.self), images.shape[3])
          return (try Tensor(values, shape: images.shape).converted(to: images.format), labels)
        }
      })
  }

  // MARK: The network

  static let halfGradients = TrainingFault(
    name: "gradients × 0.5",
    change: {
      $0.gradients = { model, batch in
        let logits = try model(Variable(batch.images))
        let loss = try CrossEntropyLoss()(logits, batch.labels)
        try loss.backward(gradient: Tensor.full(loss.shape, 0.5 as Float))
        return (loss, logits)
      }
    })

  /// The forward and backward passes see zeros, the parameters are there and are updated.
  static let droppedBiases = TrainingFault(
    name: "conv biases dropped",
    change: {
      $0.gradients = { model, batch in
        let biases = model.namedModules().compactMap { ($0.module as? ConvolutionLayer)?.bias }
        let values = biases.map(\.value)
        for bias in biases { bias.value = try Tensor.zeros(bias.shape) }
        defer { for (bias, value) in zip(biases, values) { bias.value = value } }
        return try TrainingSetup().gradients(model, batch)
      }
    })

  /// Slope 0.01 below 0, in seed-cnn and vgg11.
  static let leakyReLU = TrainingFault(
    name: "leaky ReLU for ReLU",
    change: {
      $0.model = { network in
        if network.name == "vgg11" { return try LeakyVGG11() }
        return try LeakySeedCNN()
      }
    })

  /// One tap of one layer's filter in one pass: not multiplied, or not found.
  static func lostTap(_ pass: ConvPass, _ layer: String) -> TrainingFault {
    TrainingFault(
      name: "a lost tap of \(layer), \(pass.rawValue)",
      engine: { FakeBackend.tapLosing($0, pass, try? ConvProblem(parsing: layer)) })
  }
}

/// max(x, x / 100).
private final class LeakyReLU: Module {
  func forward(_ input: Variable) throws -> Variable { try input.relu() - (-input).relu() * 0.01 }
}

private final class LeakySeedCNN: Module {
  let conv1, conv2, conv3: Conv2d
  let fc1, fc2: Linear
  private let pool = MaxPool2d(kernelSize: 2)
  private let leaky = LeakyReLU()

  init() throws {
    conv1 = try Conv2d(3, 32, kernelSize: 3, padding: 1)
    conv2 = try Conv2d(32, 64, kernelSize: 3, padding: 1)
    conv3 = try Conv2d(64, 128, kernelSize: 3, padding: 1)
    fc1 = try Linear(128 * 4 * 4, 1000)
    fc2 = try Linear(1000, 10)
  }

  func forward(_ input: Variable) throws -> Variable {
    let features = try [conv1, conv2, conv3].reduce(input) { try pool(leaky($1($0))) }
    return try fc2(leaky(fc1(features.flatten())))
  }
}

private final class LeakyVGG11: Module {
  let features = Sequential()
  let classifier: Sequential

  init() throws {
    var channels = 3
    for (outChannels, pools) in [
      (64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false),
      (512, true),
    ] {
      features.append(try Conv2d(channels, outChannels, kernelSize: 3, padding: 1))
      features.append(LeakyReLU())
      if pools { features.append(MaxPool2d(kernelSize: 2)) }
      channels = outChannels
    }
    classifier = Sequential(
      try Linear(512 * 2 * 2, 4096), LeakyReLU(), try Dropout(p: 0), try Linear(4096, 4096), LeakyReLU(),
      try Dropout(p: 0), try Linear(4096, 10))
  }

  func forward(_ input: Variable) throws -> Variable { try classifier(features(input).flatten()) }
}

extension FakeBackend {
  /// An engine that loses tap (0, 0) of one layer's filter in one pass.
  static func tapLosing(
    _ engine: any ConvolutionBackend, _ pass: ConvPass, _ layer: ConvProblem?
  ) -> FakeBackend {
    FakeBackend("tap-losing \(engine.name)", engine, includesLowerings: true) {
      $0.epilogue.isEmpty ? nil : "no epilogue"
    } changing: { plan in
      let operation = plan.operation
      let isHit = operation.pass == pass && operation.problem == layer
      if isHit && pass == .backwardFilter { plan.spoil { filter, _ in filter.loseTap(operation) } }
      if isHit && pass != .backwardFilter { plan.read(.filter) { $0.loseTap(operation) } }
    }
  }
}

extension UnsafeMutableBufferPointer<Float> {
  fileprivate func loseTap(_ operation: ConvOperation) {
    let problem = operation.problem
    let (taps, channels) = (problem.filter.h * problem.filter.w, problem.cPerGroup)
    for k in 0..<problem.k {
      for c in 0..<channels {
        self[k * channels * taps + (operation.filterFormat == .nhwc ? c : c * taps)] = 0
      }
    }
  }
}
