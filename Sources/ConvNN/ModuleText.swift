import ConvAutograd
import ConvCore

extension Module {
  /// The structure, as PyTorch prints it: the type with its arguments, and below it the layers in the order of `members`.
  ///
  /// ```text
  /// SeedCNN(
  ///   (conv1): Conv2d(3, 32, kernelSize: (3, 3), stride: (1, 1), padding: (1, 1))
  ///   …
  /// )
  /// ```
  /// What an array or a dictionary holds stands in brackets below its name. A shared layer stands at each of its places.
  public var description: String { ModuleText.text(of: self) }

  /// Nothing.
  public var argumentText: String { "" }
}

/// How modules are printed.
enum ModuleText {
  /// Modules whose parts are being written, so that circles end.
  @TaskLocal private static var above: Set<ObjectIdentifier> = []

  static func text(of module: any Module) -> String {
    let (name, id) = ("\(type(of: module))", ObjectIdentifier(module))
    guard !above.contains(id) else { return "\(name)(…)" }
    let parts = Parts()
    $above.withValue(above.union([id])) {
      for member in module.members {
        // By its own description, which a user may have written.
        if case .module(let part) = member.kind {
          parts.add(member.name.split(separator: ".")[...], part.description)
        }
      }
    }
    let arguments = module.argumentText
    guard !parts.isEmpty else { return "\(name)(\(arguments))" }
    return "\(name)(\n" + (arguments.isEmpty ? "" : "  \(arguments)\n") + parts.text + ")"
  }

  /// Layers by their names, and groups of them where names have several components.
  private final class Parts {
    private var entries: [(name: Substring, text: String?, group: Parts?)] = []

    var isEmpty: Bool { entries.isEmpty }

    func add(_ path: ArraySlice<Substring>, _ text: String) {
      let name = path.first ?? ""
      guard path.count > 1 else { return entries.append((name, text, nil)) }
      if entries.last?.name != name || entries.last?.group == nil { entries.append((name, nil, Parts())) }
      entries.last?.group?.add(path.dropFirst(), text)
    }

    /// One line and more for each entry, indented.
    var text: String {
      entries.map { entry in
        let value = entry.text ?? entry.group.map(\.bracketed) ?? ""
        return "  (\(entry.name)): \(indented(value))\n"
      }.joined()
    }

    private var bracketed: String { "[\n\(text)]" }

    private func indented(_ text: String) -> String {
      text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n  ")
    }
  }
}

extension Buffer: CustomStringConvertible {
  /// As that of the tensor.
  public var description: String { value.text(named: "Buffer") }
}

extension Sizes {
  /// As PyTorch prints them: `3`, of several numbers `(3, 5)`; of one number per axis where a rank is given.
  func text(rank: Int = 1) -> String {
    let numbers = values.count == 1 ? Array(repeating: values[0], count: rank) : values
    if numbers.count == 1 { return "\(numbers[0])" }
    return "(\(numbers.map(String.init).joined(separator: ", ")))"
  }

  /// Whether all numbers are this one.
  func are(_ value: Int) -> Bool { values.allSatisfy { $0 == value } }
}
