import ConvAutograd
import ConvCore

/// A layer or a network: something with parameters that maps a variable to a variable.
///
/// A network of one's own is a class that conforms. Its parameters and layers are found by reflection over its stored
/// properties in declaration order: a `Variable` is a parameter, a `Buffer` a buffer, a `Module` a layer. Arrays, dictionaries,
/// tuples, structs, enumerations and optionals of these are looked into. Keys are the properties' names, an array's numbers,
/// a dictionary's keys in their order (`conv1.weight`, `features.0.weight`, `heads.left.weight`). What cannot be looked into
/// (sets, functions, lazy properties before their first use, objects that are no modules and hold layers) is an error at the
/// module's first call; a module that implements `members` itself says what counts.
/// ```swift
/// final class Net: Module {
///   let conv, fc: any Module
///   init() throws { conv = try Conv2d(3, 8, kernelSize: 3); fc = try Linear(8 * 30 * 30, 10) }
///   func forward(_ x: Variable) throws -> Variable { try fc(conv(x).relu().flatten()) }
/// }
/// ```
///
/// `print(net)` shows the structure.
public protocol Module: AnyObject, CustomStringConvertible {
  /// The computation. Call the module itself (`layer(x)`), not this.
  func forward(_ input: Variable) throws -> Variable
  /// Parameters, buffers and layers with their names. By reflection unless implemented.
  var members: [ModuleMember] { get }
  /// How a parameter of this module (by its name in `members`) is initialised; nil leaves it as it is.
  func initializer(ofParameter name: String) -> Initializer?
  /// What `print` shows in parentheses behind the type's name, as in `3, 8, kernelSize: (3, 3)`. Nothing unless implemented.
  var argumentText: String { get }
}

/// A module that behaves differently in training and in evaluation, such as dropout.
public protocol TrainingDependent: Module {
  /// Set by `train()` and `eval()`.
  var isTraining: Bool { get set }
}

/// A tensor that belongs to a module's state but has no gradient, such as a running mean.
public final class Buffer {
  /// The elements.
  public var value: Tensor
  /// Holds a tensor.
  public init(_ value: Tensor) { self.value = value }
}

/// A named part of a module.
public struct ModuleMember {
  /// What it is.
  public enum Kind {
    case parameter(Variable)
    case buffer(Buffer)
    case module(any Module)
    /// What may hide parts, and why: an error at the first call.
    case hidden(String)
  }

  /// The key's component, as in PyTorch's state dictionaries.
  public let name: String
  /// The part itself.
  public let kind: Kind

  /// Names a part.
  public init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }
}

extension Module {
  /// Applies the module.
  ///
  /// - Throws: what the computation throws, and at the first call `ConvError.operand` where `checkMembers()` does.
  public func callAsFunction(_ input: Variable) throws -> Variable {
    try checkMembersOnce()
    let observer = ModuleObservation.observer
    observer?.willCall(self, input)
    let output = try forward(input)
    observer?.didCall(self, outputShape: output.shape)
    return output
  }

  /// The stored properties, in declaration order, a superclass's first.
  public var members: [ModuleMember] { reflectedMembers }

  /// The stored properties, for modules that implement `members` by changing these.
  public var reflectedMembers: [ModuleMember] { MemberSearch.members(of: self) }

  /// Nil: parameters keep the values they have.
  public func initializer(ofParameter name: String) -> Initializer? { nil }

  // MARK: Traversal

  /// This module ("") and all below it, with their paths, a module before its parts.
  ///
  /// One that refers back to a module above it is not followed again.
  public func namedModules() -> [(name: String, module: any Module)] { namedModules(prefix: "", above: []) }

  private func namedModules(
    prefix: String, above: Set<ObjectIdentifier>
  ) -> [(name: String, module: any Module)] {
    var result: [(name: String, module: any Module)] = [(prefix, self)]
    let path = above.union([ObjectIdentifier(self)])
    for member in members {
      if case .module(let module) = member.kind, !path.contains(ObjectIdentifier(module)) {
        result += module.namedModules(
          prefix: prefix.isEmpty ? member.name : "\(prefix).\(member.name)", above: path)
      }
    }
    return result
  }

  /// All parameters with their keys; a module's own before those of its parts. A shared parameter appears once.
  public func namedParameters() -> [(name: String, parameter: Variable)] {
    var seen: Set<ObjectIdentifier> = []
    return allParameters().filter { seen.insert(ObjectIdentifier($0.parameter)).inserted }
  }

  private func allParameters() -> [(name: String, parameter: Variable)] {
    allMembers { if case .parameter(let parameter) = $0 { parameter } else { nil } }
      .map { (name: $0.name, parameter: $0.part) }
  }

  /// All buffers with their keys.
  public func namedBuffers() -> [(name: String, buffer: Buffer)] {
    allMembers { if case .buffer(let buffer) = $0 { buffer } else { nil } }
      .map { (name: $0.name, buffer: $0.part) }
  }

  private func allMembers<Part>(_ select: (ModuleMember.Kind) -> Part?) -> [(name: String, part: Part)] {
    namedModules().flatMap { path, module in
      module.members.compactMap { member in
        select(member.kind).map { (path.isEmpty ? member.name : "\(path).\(member.name)", $0) }
      }
    }
  }

  /// All parameters, in the order of `namedParameters()`.
  public func parameters() -> [Variable] { namedParameters().map(\.parameter) }

  /// Elements of all parameters.
  public var parameterCount: Int { parameters().reduce(0) { $0 + $1.value.count } }

  /// Forgets all gradients.
  public func zeroGrad() { for parameter in parameters() { parameter.zeroGrad() } }

  /// Switches this module and all below it to training (or evaluation).
  public func train(_ isTraining: Bool = true) {
    for (_, module) in namedModules() {
      if let module = module as? any TrainingDependent { module.isTraining = isTraining }
    }
  }

  /// Switches this module and all below it to evaluation.
  public func eval() { train(false) }

  /// Converts all parameters and floating buffers; gradients are forgotten.
  ///
  /// - Throws: `ConvError.elementTypeMismatch` for a type that is not floating.
  public func convert(to elementType: ElementType) throws {
    guard elementType == .float32 || elementType == .float64 else {
      throw ConvError.elementTypeMismatch(
        what: "the parameters of a module", expected: .float32, found: elementType)
    }
    for parameter in parameters() {
      parameter.value = try parameter.value.converted(to: elementType)
      parameter.zeroGrad()
    }
    for (_, buffer) in namedBuffers() where buffer.value.elementType.unitRoundoff > 0 {
      buffer.value = try buffer.value.converted(to: elementType)
    }
  }
}
