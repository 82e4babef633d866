import ConvAutograd
import ConvCore
import ConvNN
import ConvOptim

/// How a check trains: as the references define it (`TrainingSetup()`), or as somebody else does who is to be judged by them.
///
/// What comes out is compared with the stored values whatever is said here.
public struct TrainingSetup: Sendable {
  /// Images [N, C, H, W] and labels [N] of a step.
  public typealias Batch = (images: Tensor, labels: Tensor)

  /// The network; it must have the reference's parameters and layers by name. `initialize(_:seed:)` follows.
  public var model: @Sendable (ImageNetwork) throws -> any Module = { try $0.make() }

  /// The batch of a step, counted from 0, given the stored ones as the network takes them.
  public var batch: @Sendable (_ stored: [Batch], _ step: Int) throws -> Batch = { $0[$1] }

  /// Loss and logits of a batch; leaves the gradients in the parameters.
  public var gradients: @Sendable (any Module, Batch) throws -> (loss: Variable, logits: Variable) = {
    let logits = try $0(Variable($1.images))
    let loss = try CrossEntropyLoss()(logits, $1.labels)
    try loss.backward()
    return (loss, logits)
  }

  /// What updates the parameters, from the stored attributes of an optimizer. The gradients are cleared before each step.
  public var optimizer:
    @Sendable (
      _ parameters: [(name: String, parameter: Variable)], _ attributes: [String: JSONValue]
    ) throws -> any Optimizer = { try TrainingSetup.optimizer($0.map(\.parameter), $1) }

  /// The references' definition.
  public init() {}

  /// SGD or Adam by its attributes.
  ///
  /// - Throws: `ConvError.operand` where one is missing or unknown.
  public static func optimizer(
    _ parameters: [Variable], _ attributes: [String: JSONValue]
  ) throws -> any Optimizer {
    func number(_ key: String) throws -> Double {
      guard let value = attributes[key]?.number else {
        throw ConvError.operand("the optimizer lacks the number '\(key)'")
      }
      return value
    }
    switch attributes["op"]?.string {
    case "sgd":
      return try SGD(
        parameters, learningRate: number("lr"), momentum: number("momentum"), dampening: number("dampening"),
        weightDecay: number("weight_decay"), nesterov: attributes["nesterov"]?.bool ?? false)
    case "adam":
      guard let betas = attributes["betas"]?.array?.compactMap(\.number), betas.count == 2 else {
        throw ConvError.operand("the optimizer's 'betas' must be two numbers")
      }
      return try Adam(
        parameters, learningRate: number("lr"), betas: (betas[0], betas[1]), eps: number("eps"),
        weightDecay: number("weight_decay"))
    default:
      throw ConvError.operand("unknown optimizer \(attributes["op"]?.string ?? "without 'op'")")
    }
  }
}
