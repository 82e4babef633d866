import ConvAutograd
import ConvCore
import Synchronization

/// Finds the parts of a module in its stored properties, and what might hide some.
struct MemberSearch {
  private(set) var found: [ModuleMember] = []
  /// Whether layers were seen where they cannot be used.
  private var sawOthers = false
  /// Objects on the way, so that circles end.
  private var path: Set<ObjectIdentifier> = []

  /// The parts of `module`, a superclass's properties first.
  static func members(of module: any Module) -> [ModuleMember] {
    var search = MemberSearch()
    search.path.insert(ObjectIdentifier(module))
    search.properties(of: module, prefix: "")
    return search.found
  }

  /// The stored properties of a class or struct, under their names.
  private mutating func properties(of value: Any, prefix: String) {
    var mirrors = [Mirror(reflecting: value)]
    while let parent = mirrors[0].superclassMirror { mirrors.insert(parent, at: 0) }
    for child in mirrors.flatMap(\.children) {
      guard let label = child.label else { continue }
      let lazyPrefix = "$__lazy_storage_$_"
      let isLazy = label.hasPrefix(lazyPrefix)
      let name = prefix + (isLazy ? String(label.dropFirst(lazyPrefix.count)) : label)
      if isLazy, let empty = child.value as? any Emptiable, empty.isEmptied, !empty.isHarmless {
        refuse(name, "is lazy and not made yet: its layers would come after the optimizer; use it in init")
      } else if let wrapped = wrappedValue(label, child.value) {
        visit(prefix + label.dropFirst(), wrapped)
      } else {
        visit(name, child.value)
      }
    }
  }

  /// The value of a property wrapper, which is stored as `_name`.
  private func wrappedValue(_ label: String, _ value: Any) -> Any? {
    guard label.hasPrefix("_") else { return nil }
    let mirror = Mirror(reflecting: value)
    guard mirror.displayStyle == .struct else { return nil }
    return mirror.children.first { $0.label == "wrappedValue" }?.value
  }

  private mutating func refuse(_ name: String, _ reason: String) {
    found.append(ModuleMember(name, .hidden(reason)))
  }

  private mutating func visit(_ name: String, _ value: Any) {
    switch value {
    case let parameter as Variable: found.append(ModuleMember(name, .parameter(parameter)))
    case let buffer as Buffer: found.append(ModuleMember(name, .buffer(buffer)))
    case let module as any Module: found.append(ModuleMember(name, .module(module)))
    case let value as any Harmless where value.isHarmless: break
    default: visitParts(name, value)
    }
  }

  private mutating func visitParts(_ name: String, _ value: Any) {
    let mirror = Mirror(reflecting: value)
    switch mirror.displayStyle {
    case .collection:
      for (index, child) in mirror.children.enumerated() { visit("\(name).\(index)", child.value) }
    case .optional:
      if let child = mirror.children.first { visit(name, child.value) }
    case .tuple:
      for child in mirror.children {
        // Elements without a label are called .0, .1, …
        let label = child.label ?? ""
        visit("\(name).\(label.hasPrefix(".") ? String(label.dropFirst()) : label)", child.value)
      }
    case .enum:
      if let payload = mirror.children.first { visit(name, payload.value) }
    case .struct: properties(of: value, prefix: name + ".")
    case .dictionary: visitDictionary(name, mirror)
    case .set:
      if holdsParts(mirror.children.map(\.value)) {
        sawOthers = true
        refuse(name, "is a set, whose order is no order for parameters; use an array or a dictionary")
      }
    case .class: visitObject(name, value)
    default:
      // Of functions alone types are written with an arrow; what a metatype or a number holds is nothing.
      if String(reflecting: type(of: value)).contains("->") && !(value is Any.Type) {
        refuse(name, "is a function, and the layers that it may use cannot be seen; make them properties")
      }
    }
  }

  /// By key in order; numbers by their size.
  private mutating func visitDictionary(_ name: String, _ mirror: Mirror) {
    let pairs = mirror.children.map { child -> (key: Any, value: Any) in
      let parts = Array(Mirror(reflecting: child.value).children)
      return (parts[0].value, parts[1].value)
    }
    guard holdsParts(pairs.flatMap { [$0.key, $0.value] }) else { return }
    if holdsParts(pairs.map(\.key)) {
      refuse(name, "is a dictionary with layers as keys; use them as values")
    }
    let numbers = pairs.compactMap { $0.key as? Int }
    let named = pairs.map { (key: "\($0.key)", value: $0.value) }
    let strange = named.map(\.key).filter { $0.isEmpty || $0.contains(".") }
    if let key = strange.min() { refuse(name, "has the key '\(key)': it must not be empty or hold a point") }
    let sorted =
      numbers.count == pairs.count
      ? zip(numbers, named).sorted { $0.0 < $1.0 }.map(\.1) : named.sorted { $0.key < $1.key }
    for (key, value) in sorted { visit("\(name).\(key)", value) }
  }

  /// An object that is no module: its class says nothing about an order of forward passes, nor whose its layers are.
  private mutating func visitObject(_ name: String, _ value: Any) {
    if holdsParts([value]) {
      sawOthers = true
      refuse(name, "is a \(type(of: value)), which holds layers and is no Module: conform to it")
    }
  }

  /// Whether parts, or anything that may hide some, are in any of `values`.
  private func holdsParts(_ values: [Any]) -> Bool {
    var inner = MemberSearch()
    inner.path = path
    for value in values {
      if type(of: value) is AnyClass, !(value is any Module), !(value is Variable), !(value is Buffer) {
        guard inner.path.insert(ObjectIdentifier(value as AnyObject)).inserted else { continue }
        inner.properties(of: value, prefix: "")
      } else {
        inner.visit("", value)
      }
    }
    // A way back to a module that is on the path is no new part. Functions of objects are their own affair.
    return inner.sawOthers
      || inner.found.contains { member in
        switch member.kind {
        case .module(let module): !path.contains(ObjectIdentifier(module))
        case .hidden: false
        default: true
        }
      }
  }
}

// MARK: What need not be looked into

/// A value that holds no layers whatever it is.
private protocol Harmless {
  static var isHarmless: Bool { get }
}

extension Harmless {
  var isHarmless: Bool { Self.isHarmless }
}

private func isHarmless(_ type: Any.Type) -> Bool {
  if type is any Numeric.Type || type is any StringProtocol.Type || type == Bool.self { return true }
  return (type as? any Harmless.Type)?.isHarmless ?? false
}

extension Tensor: Harmless {
  fileprivate static var isHarmless: Bool { true }
}
extension Sizes: Harmless {
  fileprivate static var isHarmless: Bool { true }
}
extension String: Harmless {
  fileprivate static var isHarmless: Bool { true }
}
// Long arrays of numbers are not walked through.
extension Array: Harmless {
  fileprivate static var isHarmless: Bool { ConvNN.isHarmless(Element.self) }
}

/// An optional, as the storage of a lazy property is.
private protocol Emptiable {
  var isEmptied: Bool { get }
  var isHarmless: Bool { get }
}

extension Optional: Emptiable {
  fileprivate var isEmptied: Bool { self == nil }
  fileprivate var isHarmless: Bool { ConvNN.isHarmless(Wrapped.self) }
}

// MARK: The check before the first use

extension Module {
  /// Whether all parts of this module and of those below it can be seen.
  ///
  /// The first call of a module asks that, so that nothing is trained without a part that was left out.
  /// - Throws: `ConvError.operand` naming the properties that may hide layers, and names that are there twice.
  public func checkMembers() throws {
    for (path, module) in namedModules() {
      var names: Set<String> = []
      for member in module.members {
        let place = "\(type(of: module)).\(member.name)" + (path.isEmpty ? "" : " (at \(path))")
        if case .hidden(let reason) = member.kind { throw ConvError.operand("\(place) \(reason)") }
        guard names.insert(member.name).inserted else {
          throw ConvError.operand("\(place) is there twice: parameters need names of their own")
        }
      }
    }
  }

  /// `checkMembers` once in the life of a module.
  func checkMembersOnce() throws {
    if CheckedModules.shared.contains(self) { return }
    try checkMembers()
    CheckedModules.shared.insert(self)
  }
}

/// Modules that passed the check; addresses are used again, so that the objects are remembered too.
private final class CheckedModules: Sendable {
  private struct Entry: @unchecked Sendable {
    // @unchecked: a weak reference is only compared.
    weak var module: (any Module)?
  }
  private struct State {
    var entries: [ObjectIdentifier: Entry] = [:]
    var limit = 1024
  }
  static let shared = CheckedModules()
  private let state = Mutex(State())

  func contains(_ module: any Module) -> Bool {
    state.withLock { $0.entries[ObjectIdentifier(module)]?.module != nil }
  }

  func insert(_ module: any Module) {
    let entry = Entry(module: module)
    let id = ObjectIdentifier(module)
    state.withLock { state in
      if state.entries.count >= state.limit {
        state.entries = state.entries.filter { $0.value.module != nil }
        state.limit = max(1024, 2 * state.entries.count)
      }
      state.entries[id] = entry
    }
  }
}
