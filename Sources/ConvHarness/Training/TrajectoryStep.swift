import ConvAutograd
import ConvCore
import ConvNN

/// A step of training beside the stored one.
public struct TrajectoryStep: Sendable {
  /// From 1.
  public var number: Int
  /// Before the update.
  public var loss, lossReference: Double
  /// ‖gradient‖ over all parameters, before the update.
  public var gradientNorm, gradientNormReference: Double
  /// ‖p − p*‖ / ‖p*‖ of all parameters after the update, estimated from samples.
  public var distance: Double
  /// What the envelopes allow and a floor; NaN where nothing is judged.
  public var lossAllowed = Double.nan, gradientNormAllowed = Double.nan, distanceAllowed = Double.nan

  var deviations: [TrajectoryCheck.Deviation] {
    [
      TrajectoryCheck.Deviation(
        quantity: "loss of step \(number)", found: loss, expected: lossReference, allowed: lossAllowed),
      TrajectoryCheck.Deviation(
        quantity: "gradient norm of step \(number)", found: gradientNorm, expected: gradientNormReference,
        allowed: gradientNormAllowed),
      TrajectoryCheck.Deviation(
        quantity: "parameter distance of step \(number)", found: distance, expected: 0,
        allowed: distanceAllowed),
    ]
  }

  /// The largest quotient of a parameter's median distance after the update and what is allowed of it.
  public var updateRatio = 0.0

  /// Whether all of these deviate by at most what is allowed.
  public var isWithinAllowance: Bool { updateRatio <= 1 && deviations.allSatisfy { $0.ratio <= 1 } }

  /// `passed`, `failed`, or `mistrusted` where nothing is judged.
  public var verdict: Verdict {
    lossAllowed.isNaN ? .mistrusted : isWithinAllowance ? .passed : .failed
  }
}

/// The steps of one engine, for reports.
public struct TrajectoryRecord: Sendable {
  /// `sgd` or `adam`.
  public var optimizer: String
  /// κ of the engine, and the level that it was judged by.
  public var kappa: Double
  public var level: Int?
  public var steps: [TrajectoryStep]
  /// Where the first deviating step went wrong first.
  public var divergence: String

  /// What a check has found.
  public init(_ check: TrajectoryCheck, _ trajectory: Trajectory) {
    optimizer = trajectory.optimizer["op"]?.string ?? ""
    (kappa, level, steps) = (check.kappa, check.level, check.steps)
    divergence = check.divergence ?? ""
  }

  /// As stored.
  init(optimizer: String, kappa: Double, level: Int?, steps: [TrajectoryStep], divergence: String) {
    (self.optimizer, self.kappa, self.level) = (optimizer, kappa, level)
    (self.steps, self.divergence) = (steps, divergence)
  }
}

/// What is looked at in each step of a run.
struct StepRecord {
  var loss: Double
  /// Norms of the inputs of the layers with parameters, and of the parameters' gradients.
  var inputs, gradients: [Double]
  /// Entries of all parameters after the update.
  var samples: [Double]

  var gradientNorm: Double { gradients.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// Evenly spaced entries.
  static func sample(_ tensor: Tensor) -> [Double] {
    let (size, count) = (tensor.count, Trajectory.stepSamples(tensor.count))
    // Parameters are in the order of their indices.
    return tensor.withUnsafePointer(as: Float.self) { values in
      (0..<count).map { Double(values[$0 * size / count]) }
    }
  }
}

/// Notes the norms of the inputs of layers.
final class InputWatch: ModuleObserver, @unchecked Sendable {
  // @unchecked: used by the task that observes only.
  private var places: [ObjectIdentifier: Int] = [:]
  /// By layer, of the last call.
  private(set) var norms: [Double]

  /// - Throws: `FileError.malformed` where the network does not have the trajectory's layers.
  init(_ model: any Module, _ trajectory: Trajectory) throws {
    norms = [Double](repeating: .nan, count: trajectory.layers.count)
    let modules = Dictionary(model.namedModules().map { ($0.name, $0.module) }) { first, _ in first }
    for (place, name) in trajectory.layers.enumerated() {
      guard let module = modules[name] else {
        throw trajectory.file.malformed("the network has no layer '\(name)'")
      }
      places[ObjectIdentifier(module)] = place
    }
  }

  func willCall(_ module: any Module, _ input: Variable) {
    guard let place = places[ObjectIdentifier(module)] else { return }
    norms[place] = input.value.withUnsafePointer(as: Float.self) { values in
      var sum = 0.0
      for i in 0..<input.value.count { sum += Double(values[i]) * Double(values[i]) }
      return sum.squareRoot()
    }
  }

  func didCall(_ module: any Module, outputShape: [Int]) {}
}
