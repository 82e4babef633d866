import ConvAutograd
import ConvCore
import ConvNN
import ConvNaive
import ConvOptim
import Testing

private func linear() throws -> Linear { try Linear(1, 1, bias: false) }

/// A module that holds whatever a test wants.
private final class Holder<Value>: Module {
  let value: Value
  init(_ value: Value) { self.value = value }
  func forward(_ input: Variable) throws -> Variable { input }
}

private struct Pair {
  var conv: Linear
  var size = 3
  var gain: Variable?
}

private enum Choice {
  case plain(Linear)
  case two(Linear, scale: Linear)
  case nothing
}

private final class Box {
  let layer: Linear?
  weak var owner: AnyObject?
  init(_ layer: Linear?) { self.layer = layer }
}

private final class Outer {
  let boxes: Set<[ObjectIdentifier: String]> = []
  let box: Box
  init(_ box: Box) { self.box = box }
}

private class Base: Module {
  let stem: Linear
  init() throws { stem = try linear() }
  func forward(_ input: Variable) throws -> Variable { try stem(input) }
}

private final class Derived: Base {
  let head: [Linear]
  override init() throws {
    head = [try linear()]
    try super.init()
  }
}

@propertyWrapper private struct Wrapped<Value> {
  var wrappedValue: Value
}

private final class WithWrapper: Module {
  @Wrapped var layer: Linear
  init() throws { layer = try linear() }
  func forward(_ input: Variable) throws -> Variable { try layer(input) }
}

private final class WithLazy: Module {
  lazy var layer: Linear? = try? linear()
  lazy var size = 3
  func forward(_ input: Variable) throws -> Variable { try layer?(input) ?? input }
}

private final class Twice: Module {
  let pair: (conv: Linear, Int)
  let other: [String: Linear]
  var members: [ModuleMember] {
    [ModuleMember("same", .module(pair.conv))] + other.values.map { ModuleMember("same", .module($0)) }
  }
  init() throws { (pair, other) = ((try linear(), 1), ["a": try linear()]) }
  func forward(_ input: Variable) throws -> Variable { input }
}

private final class Child: Module {
  unowned let parent: Module
  let layer: Linear
  init(_ parent: Module) throws { (self.parent, layer) = (parent, try linear()) }
  func forward(_ input: Variable) throws -> Variable { try layer(input) }
}

private final class Parent: Module {
  var child: Child?
  func forward(_ input: Variable) throws -> Variable { try child?(input) ?? input }
}

/// Where layers may stand in a module: found under PyTorch's names, or refused.
@Suite struct ReflectionTests {
  private func names(_ module: any Module) -> [String] { module.namedParameters().map(\.name) }
  private let input = try! Variable(Tensor([2] as [Float], shape: [1, 1]))

  private func expect(
    _ module: any Module, _ expected: [String], _ location: SourceLocation = #_sourceLocation
  ) throws {
    #expect(names(module) == expected, sourceLocation: location)
    #expect(Set(module.stateDict().keys) == Set(expected), sourceLocation: location)
    _ = try module(input)
  }

  @Test func containers() throws {
    try expect(Holder([try linear(), try linear()]), ["value.0.weight", "value.1.weight"])
    try expect(Holder([[try linear()], []]), ["value.0.0.weight"])
    try expect(Holder(["b": try linear(), "a": try linear()]), ["value.a.weight", "value.b.weight"])
    try expect(Holder([10: try linear(), 9: try linear()]), ["value.9.weight", "value.10.weight"])
    try expect(Holder(["x": [try linear()]]), ["value.x.0.weight"])
    try expect(Holder((try linear(), left: try linear(), 3)), ["value.0.weight", "value.left.weight"])
    try expect(Holder([Pair(conv: try linear())]), ["value.0.conv.weight"])
    try expect(
      Holder(Pair(conv: try linear(), gain: Variable(try Tensor.zeros([1]), requiresGrad: true))),
      ["value.gain", "value.conv.weight"])
    try expect(Holder(Optional.some([try linear()])), ["value.0.weight"])
    try expect(Holder(Optional<Linear>.none), [])
    try expect(Holder([Choice.plain(try linear()), .nothing]), ["value.0.weight"])
    try expect(
      Holder(Choice.two(try linear(), scale: try linear())), ["value.0.weight", "value.scale.weight"])
    try expect(Holder([try linear() as Any, 3, "text"]), ["value.0.weight"])
    try expect(Holder(try linear() as Any), ["value.weight"])
    try expect(Holder(ArraySlice([try linear()])), ["value.0.weight"])
  }

  @Test func classes() throws {
    try expect(Derived(), ["stem.weight", "head.0.weight"])
    try expect(WithWrapper(), ["layer.weight"])
  }

  /// A layer in two places has two names and one set of parameters.
  @Test func sharedLayers() throws {
    let shared = try linear()
    let holder = Holder(["a": [shared], "b": [shared]])
    #expect(names(holder) == ["value.a.0.weight"])
    #expect(holder.stateDict().keys.sorted() == ["value.a.0.weight", "value.b.0.weight"])
    _ = try SGD(holder.parameters(), learningRate: 1)
  }

  /// Layers of dictionaries learn.
  @Test func whatIsFoundIsTrained() throws {
    final class Net: Module {
      let layers: [String: (main: Linear, Int)]
      init() throws { layers = ["only": (try linear(), 1)] }
      func forward(_ input: Variable) throws -> Variable { try layers["only"]?.main(input) ?? input }
    }
    let net = try Net()
    let before = net.parameters()[0].value.values(as: Float.self)[0]
    let optimizer = try SGD(net.parameters(), learningRate: 0.5)
    try net(input).sum().backward()
    try optimizer.step()
    #expect(net.parameters()[0].value.values(as: Float.self) == [before - 1])
    #expect(net.layers["only"]?.main.weight === net.parameters()[0])
    net.eval()
    try net.convert(to: .float64)
    #expect(net.layers["only"]?.main.weight.elementType == .float64)
  }

  private func refusal(_ module: any Module) -> String {
    let first = String(describing: #expect(throws: ConvError.self) { try module(input) })
    // And again, as long as it is so.
    #expect(throws: ConvError.self) { try module(input) }
    #expect(throws: ConvError.self) { try module.save(to: "/nowhere/at/all") }
    #expect(throws: ConvError.self) { try module.loadStateDict([:], strict: false) }
    return first
  }

  @Test func whatCannotBeSeenIsRefused() throws {
    #expect(
      refusal(Holder(Set([ObjectIdentifier(input): try linear()].map { Key($0.value) }))).contains("a set"))
    #expect(refusal(Holder([Key(try linear()): 1])).contains("as keys"))
    #expect(refusal(Holder(["a.b": try linear()])).contains("'a.b'"))
    #expect(refusal(Holder(["": try linear()])).contains("key ''"))
    let hidden = try linear()
    #expect(refusal(Holder({ (x: Variable) in try hidden(x) })).contains("is a function"))
    #expect(refusal(Holder([{ hidden }])).contains("value.0 is a function"))
    #expect(refusal(Holder([hidden].lazy.map { $0 })).contains("is a function"))
    #expect(refusal(Holder(Box(hidden))).contains("is a Box, which holds layers"))
    #expect(refusal(Holder(["k": [Box(hidden)]])).contains("value.k.0 is a Box"))
    let inner = Box(nil)
    inner.owner = hidden
    #expect(refusal(Holder(inner)).contains("is a Box"))
    #expect(refusal(Holder(Outer(Box(hidden)))).contains("is a Outer"))
    #expect(refusal(Holder([Holder(Box(hidden))])).contains("(at value.0)"))
    #expect(refusal(WithLazy()).contains("layer is lazy"))
    #expect(refusal(try Twice()).contains("twice"))
  }

  /// What holds no layers is nobody's affair.
  @Test func otherPropertiesAreNotRefused() throws {
    try expect(Holder(Set([1, 2])), [])
    try expect(Holder(["a.b": 3]), [])
    try expect(Holder(Box(nil)), [])
    try expect(Holder([Float](repeating: 1, count: 1 << 20)), [])
    try expect(Holder((MemoryFormat.nhwc, Sizes(3), try Tensor.zeros([2]), WorkerPool.shared)), [])
    try expect(Holder([NaiveBackend() as any ConvolutionBackend]), [])
    try expect(Holder([Linear.self]), [])
    let made = WithLazy()
    _ = made.layer
    try expect(made, ["layer.weight"])
    let box = Box(nil)
    let owner = Holder(box)
    box.owner = owner
    try expect(owner, [])
    let parent = Parent()
    parent.child = try Child(parent)
    try expect(parent, ["child.layer.weight"])
  }

  @Test func optimizersRefuseWhatCannotBeMeant() throws {
    let p = Variable(try Tensor([1] as [Float], shape: [1]), requiresGrad: true)
    let q = Variable(p.value, requiresGrad: true)
    for make: ([Variable]) throws -> any Optimizer in [
      { try SGD($0, learningRate: 0.1) }, { try SGD($0, learningRate: 0.1, momentum: 0.9) }, { try Adam($0) },
      { try AdamW($0) },
    ] {
      #expect(throws: ConvError.self) { try make([]) }
      #expect(throws: ConvError.self) { try make([p, p]) }
      #expect(throws: ConvError.self) { try make([p, q, p]) }
      #expect(try make([p, q]).parameters.count == 2)
    }
    p.grad = try Tensor([3] as [Float], shape: [1])
    #expect(gradientNorm([p, p]) == 3)
    try clipGradNorm([p, p], maxNorm: 1.5)
    #expect(abs((p.grad?.values(as: Float.self)[0] ?? 0) - 1.5) < 1e-5)
  }
}

/// A layer as an element of sets.
private struct Key: Hashable {
  let layer: Linear
  init(_ layer: Linear) { self.layer = layer }
  static func == (a: Key, b: Key) -> Bool { a.layer === b.layer }
  func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(layer)) }
}
