import ConvCore
import ConvNN

/// A stored float64 training trajectory with its envelopes, as References/README.md defines it.
public struct Trajectory: Sendable {
  /// What is trained.
  public let network: ImageNetwork
  /// Images of a step.
  public let batch: Int
  /// Perturbation levels κ of the envelopes.
  public let levels: [Int]
  /// Seed of the initial weights.
  public let seed: UInt64
  /// Steps that are stored.
  public let steps: Int
  /// `sgd` or `adam` with its attributes.
  public let optimizer: [String: JSONValue]
  /// Names of the parameters in order.
  public let parameters: [String]
  /// Names of the layers with parameters, whose inputs' norms are stored.
  public let layers: [String]
  /// The file.
  public let file: ReferenceFile

  /// Reads a trajectory.
  ///
  /// - Throws: `FileError`.
  public init(path: String) throws {
    file = try ReferenceFile(path: path)
    guard file.op == "trajectory" else { throw file.malformed("operation is '\(file.op)', not 'trajectory'") }
    let name = try file.attribute("network").string ?? ""
    guard let network = ImageNetwork.named(name) else { throw file.malformed("unknown network '\(name)'") }
    self.network = network
    batch = try file.integer("batch", least: 1)
    steps = try file.integer("steps", least: 1)
    seed = UInt64(try file.integer("seed", least: 0))
    guard let levels = try file.attribute("levels").integers, !levels.isEmpty else {
      throw file.malformed("attribute 'levels' must be a list of integers")
    }
    self.levels = levels
    guard let optimizer = try file.attribute("optimizer").object else {
      throw file.malformed("attribute 'optimizer' must be an object")
    }
    self.optimizer = optimizer
    parameters = try Trajectory.names("parameters", in: file)
    layers = try Trajectory.names("layers", in: file)
  }

  /// The trajectory of a network below a folder of references, Adam's before SGD's; nil where there is none.
  ///
  /// - Throws: `FileError` where the file is malformed.
  public static func stored(of network: ImageNetwork, root: String) throws -> Trajectory? {
    for optimizer in ["adam", "sgd"] {
      let path = "\(root)/trajectories/\(network.name)-\(optimizer).safetensors"
      do { return try Trajectory(path: path) } catch FileError.missingInput { continue }
    }
    return nil
  }

  private static func names(_ attribute: String, in file: ReferenceFile) throws -> [String] {
    guard let names = try file.attribute(attribute).array?.compactMap(\.string), !names.isEmpty else {
      throw file.malformed("attribute '\(attribute)' must be a list of names")
    }
    return names
  }

  /// Entries of a parameter of `size` elements that are stored after each step; entry j is number j·size div m.
  static func stepSamples(_ size: Int) -> Int { min(size, 16) }

  /// Values of a float64 tensor with a given count.
  func values(_ name: String, count: Int) throws -> [Double] {
    let values = try file.tensor(name, .float64).values(as: Double.self)
    guard values.count == count else {
      throw file.malformed("tensor '\(name)' has \(values.count) elements, \(count) are needed")
    }
    return values
  }
}
