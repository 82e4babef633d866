import Foundation

/// Changes an optimizer's learning rate from epoch to epoch.
public protocol LearningRateSchedule: AnyObject {
  /// Epochs done. Set it to resume.
  var epoch: Int { get set }
}

extension LearningRateSchedule {
  /// One epoch is done.
  public func step() { epoch += 1 }
}

/// Multiplies the rate by `gamma` every `stepSize` epochs, as PyTorch's `StepLR`.
public final class StepLR: LearningRateSchedule {
  /// Epochs done. Set it to resume.
  public var epoch = 0 {
    didSet { optimizer.learningRate = base * pow(gamma, Double(max(0, epoch) / stepSize)) }
  }
  private let optimizer: any Optimizer
  private let base: Double
  /// Epochs of equal rate.
  public let stepSize: Int
  /// The factor.
  public let gamma: Double

  /// Begins at the optimizer's present rate.
  public init(_ optimizer: any Optimizer, stepSize: Int, gamma: Double = 0.1) {
    precondition(stepSize > 0, "a step of \(stepSize) epochs")
    self.optimizer = optimizer
    self.stepSize = stepSize
    self.gamma = gamma
    base = optimizer.learningRate
  }
}

/// etaMin + (base − etaMin)·(1 + cos(π·epoch/tMax))/2, as PyTorch's `CosineAnnealingLR`. Loshchilov & Hutter 2017.
public final class CosineAnnealingLR: LearningRateSchedule {
  /// Epochs done. Set it to resume.
  public var epoch = 0 {
    didSet {
      let phase = cos(.pi * Double(epoch) / Double(tMax))
      optimizer.learningRate = etaMin + (base - etaMin) * (1 + phase) / 2
    }
  }
  private let optimizer: any Optimizer
  private let base: Double
  /// Epochs from the highest to the lowest rate.
  public let tMax: Int
  /// The lowest rate.
  public let etaMin: Double

  /// Begins at the optimizer's present rate.
  public init(_ optimizer: any Optimizer, tMax: Int, etaMin: Double = 0) {
    precondition(tMax > 0, "an annealing over \(tMax) epochs")
    self.optimizer = optimizer
    self.tMax = tMax
    self.etaMin = etaMin
    base = optimizer.learningRate
  }
}
