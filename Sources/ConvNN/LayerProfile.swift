import ConvAutograd
import ConvCore

/// Where the time of one step of training goes.
public struct LayerProfile: Sendable {
  /// A call of a layer, or what happens between two of them.
  public struct Layer: Sendable {
    /// The layer's path; of operations outside of layers their names, as in `globalAvgPool2d + reshape`.
    public let name: String
    /// As PyTorch prints it, with the poolings that ran as part of it; `operation` outside of layers, and `loss`.
    public internal(set) var kind: String
    /// The result's extents; empty outside of layers.
    public let outputShape: [Int]
    /// Seconds on the way there.
    public var forward: Double
    /// Seconds on the way back, all gradients of the layer's operations.
    public var backward: Double
    /// The engine of a convolution (of each pass, where they differ); empty for other layers.
    public let engine: String

    /// Known times.
    public init(
      name: String, kind: String, outputShape: [Int], forward: Double, backward: Double, engine: String
    ) {
      (self.name, self.kind, self.outputShape) = (name, kind, outputShape)
      (self.forward, self.backward, self.engine) = (forward, backward, engine)
    }
  }

  /// In the order of calls; a layer that is called twice is there twice.
  public let layers: [Layer]
}

extension Module {
  /// Makes a step, forward and backward, with the time of each layer. Gradients are left in the parameters.
  ///
  /// The engines' names are known where the context has a recorder.
  /// - Parameter loss: from the network's output to what is minimised.
  /// - Throws: what the network, the loss or the way back throws.
  public func profiledStep(
    _ input: Variable, loss: (Variable) throws -> Variable
  ) throws -> (loss: Variable, profile: LayerProfile) {
    let graph = GraphProfile()
    let watch = LayerWatch(graph)
    let value = try GraphProfile.$current.withValue(graph) {
      let output = try ModuleObservation.$observer.withValue(watch) { try self(input) }
      watch.mark(.between)
      let value = try loss(output)
      watch.mark(.loss)
      try value.backward()
      return value
    }
    let names = Dictionary(
      namedModules().map { (ObjectIdentifier($0.module), $0.name) }, uniquingKeysWith: { first, _ in first })
    let recorder = ConvolutionContext.current.recorder
    let layers = watch.layers(named: names) { recorder?.engines(of: $0) ?? "" }
    return (value, LayerProfile(layers: layers))
  }
}

/// Notes when modules begin and end, and how many operations had been recorded by then.
private final class LayerWatch: ModuleObserver, @unchecked Sendable {
  // @unchecked: used by the task that observes only.
  enum Event {
    case start, between, loss
    case begin(any Module)
    case end(any Module, shape: [Int])
  }
  private struct Mark {
    let event: Event
    let time: ContinuousClock.Instant
    let operations: Int
  }

  private let graph: GraphProfile
  private var marks: [Mark] = []

  init(_ graph: GraphProfile) {
    self.graph = graph
    mark(.start)
  }

  func mark(_ event: Event) {
    marks.append(Mark(event: event, time: ContinuousClock.now, operations: graph.operations.count))
  }
  func willCall(_ module: any Module, _ input: Variable) { mark(.begin(module)) }
  func didCall(_ module: any Module, outputShape: [Int]) { mark(.end(module, shape: outputShape)) }

  /// What lies between two marks that follow each other belongs to the layer that the second one ends, if the first one began it.
  func layers(
    named names: [ObjectIdentifier: String], engine: (ObjectIdentifier) -> String
  ) -> [LayerProfile.Layer] {
    var layers: [LayerProfile.Layer] = []
    for (first, second) in zip(marks, marks.dropFirst()) {
      let operations = graph.operations[first.operations..<second.operations]
      func add(_ name: String, _ kind: String, _ shape: [Int], _ engine: String) {
        layers.append(
          LayerProfile.Layer(
            name: name, kind: kind, outputShape: shape, forward: seconds(second.time - first.time),
            backward: operations.reduce(0) { $0 + seconds($1.backward) }, engine: engine))
      }
      switch (first.event, second.event) {
      case (.begin(let begun), .end(let module, let shape)) where begun === module && module.isLeaf:
        let id = ObjectIdentifier(module)
        add(names[id] ?? "", module.kind, shape, engine(id))
      case (.end(let convolution, _), .end(let module, _))
      where convolution.isLeaf && module is MaxPool2d && operations.isEmpty && !layers.isEmpty:
        layers[layers.count - 1].kind += " + \(module.kind)"
      case (_, .loss):
        add("loss", "loss", [], "")
      default:
        if !operations.isEmpty {
          add(operations.map(\.name).joined(separator: " + "), "operation", [], "")
        }
      }
    }
    return layers
  }

  private func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
