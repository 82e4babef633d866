import ConvAutograd
import ConvCore
import Synchronization

/// Notes the output shape of every module that is called, in order.
private final class ModuleTrace: ModuleObserver, @unchecked Sendable {
  // @unchecked: used by the task that set it only.
  private(set) var calls: [(module: any Module, shape: [Int])] = []

  func willCall(_ module: any Module, _ input: Variable) {}
  func didCall(_ module: any Module, outputShape: [Int]) { calls.append((module, outputShape)) }
}

extension Module {
  /// A table of the layers that an input of `inputShape` goes through: name, output shape, parameters, and the engine
  /// that runs it (each pass, where they differ).
  ///
  /// Runs the network once, in evaluation mode, on zeros, and plans the backward passes too.
  /// - Throws: what the network throws; `ConvError.unsupported` where the chosen backend declines a layer.
  public func summary(inputShape: [Int]) throws -> String {
    let modes = namedModules().compactMap { $0.module as? any TrainingDependent }.map { ($0, $0.isTraining) }
    eval()
    defer { for (module, isTraining) in modes { module.isTraining = isTraining } }
    let elementType = parameters().first?.elementType ?? .float32
    let input = Variable(try Tensor.zeros(inputShape, elementType: elementType))
    let trace = ModuleTrace()
    let recorder = ExecutionRecorder()
    var context = ConvolutionContext.current
    DefaultBackend.installed
    if context.engine == nil { context.engine = ConvolutionContext.default.engine }
    context.recorder = recorder
    _ = try ModuleObservation.$observer.withValue(trace) { try context.run { try self(input) } }

    let names = Dictionary(
      namedModules().map { (ObjectIdentifier($0.module), $0.name) }, uniquingKeysWith: { first, _ in first })
    var counted: Set<ObjectIdentifier> = []
    var rows = [["layer", "kind", "output", "parameters", "runs on"]]
    for (module, shape) in trace.calls {
      let id = ObjectIdentifier(module)
      guard module.isLeaf else { continue }
      let fresh = counted.insert(id).inserted
      let count = fresh ? module.parameters().reduce(0) { $0 + $1.value.count } : 0
      rows.append([
        names[id].flatMap { $0.isEmpty ? nil : $0 } ?? "(itself)", module.kind,
        shape.map(String.init).joined(separator: "×"), "\(count)", recorder.engines(of: id),
      ])
    }
    let total = "total: \(parameterCount) parameters"
    return aligned(rows) + "\n" + total + "\n"
  }

  /// Whether it has no parts that are modules.
  var isLeaf: Bool { !members.contains { if case .module = $0.kind { true } else { false } } }

  /// As it is printed; only its type where it has parts.
  var kind: String { isLeaf ? description : "\(type(of: self))" }
}

extension ExecutionRecorder {
  /// The engines of one layer: one name where all passes agree, else one per pass.
  public func engines(of layer: ObjectIdentifier) -> String {
    var passes: [(pass: ConvPass, engine: String)] = []
    for entry in entries where entry.layer == layer {
      let engine = entry.executedBy + (entry.isFallback ? " (fallback)" : "")
      if !passes.contains(where: { $0.pass == entry.operation.pass && $0.engine == engine }) {
        passes.append((entry.operation.pass, engine))
      }
    }
    let engines = Set(passes.map(\.engine))
    if engines.count <= 1 { return engines.first ?? "" }
    return passes.map { "\($0.pass.rawValue): \($0.engine)" }.joined(separator: ", ")
  }
}

private func aligned(_ rows: [[String]]) -> String {
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  return rows.map { row in
    var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      .joined(separator: "  ")
    while line.last == " " { line.removeLast() }
    return line
  }.joined(separator: "\n")
}
