import ConvAutograd
import ConvCore

extension Module {
  /// All parameters and buffers under PyTorch's keys. The tensors are copies (shared until one side is written).
  public func stateDict() -> [String: Tensor] {
    var state: [String: Tensor] = [:]
    for (path, module) in namedModules() {
      for member in module.members {
        let key = path.isEmpty ? member.name : "\(path).\(member.name)"
        switch member.kind {
        case .parameter(let parameter): state[key] = parameter.value
        case .buffer(let buffer): state[key] = buffer.value
        case .module, .hidden: break
        }
      }
    }
    return state
  }

  /// Loads parameters and buffers. All or nothing: everything is checked before anything is changed.
  ///
  /// Floating tensors are converted to the type of what they replace, integers and truth values where that holds each of them. A batch
  /// normalisation's count of batches may be missing and stays as it is then, as in PyTorch: there are weights from before it.
  /// - Parameter strict: refuses missing and unexpected keys; else loads what is there.
  /// - Throws: `ConvError.operand` with the keys that do not fit, `.shapeMismatch`, `.elementTypeMismatch`.
  public func loadStateDict(_ state: [String: Tensor], strict: Bool = true) throws {
    try checkMembers()
    var missing: [String] = []
    var unused = Set(state.keys)
    var assignments: [() -> Void] = []
    for (path, module) in namedModules() {
      let members = module.members
      for member in members {
        let key = path.isEmpty ? member.name : "\(path).\(member.name)"
        switch member.kind {
        case .module, .hidden: continue
        case .parameter, .buffer: break
        }
        guard let found = state[key] else {
          if !isCountOfBatches(member, among: members) { missing.append(key) }
          continue
        }
        unused.remove(key)
        switch member.kind {
        case .parameter(let parameter):
          let tensor = try fitted(key, found, to: parameter.value)
          assignments.append { parameter.value = tensor }
        case .buffer(let buffer):
          let tensor = try fitted(key, found, to: buffer.value)
          assignments.append { buffer.value = tensor }
        case .module, .hidden:
          break
        }
      }
    }
    if strict && !(missing.isEmpty && unused.isEmpty) {
      let parts = [("missing", missing), ("unexpected", unused.sorted())].filter { !$0.1.isEmpty }
      throw ConvError.operand(
        "the state dictionary does not fit: "
          + parts.map { "\($0.0) \($0.1.joined(separator: ", "))" }.joined(separator: "; "))
    }
    for assign in assignments { assign() }
  }

  /// Writes `stateDict()` as a safetensors file, whole or not at all.
  public func save(to path: String, metadata: [String: String] = [:]) throws {
    try checkMembers()
    try Safetensors.write(stateDict(), metadata: metadata, to: path)
  }

  /// Loads a safetensors file, PyTorch's included.
  public func load(from path: String, strict: Bool = true) throws {
    let file = try SafetensorsFile(path: path)
    // What cannot be held matters where it has a place here, or none and all keys have to have one.
    let keys = stateDict()
    for name in file.unreadable.keys.sorted() where strict || keys[name] != nil {
      _ = try file.tensor(name)
    }
    try loadStateDict(file.tensors, strict: strict)
  }
}

/// Whether a member is the counter beside the running statistics of a batch normalisation.
private func isCountOfBatches(_ member: ModuleMember, among members: [ModuleMember]) -> Bool {
  guard member.name == "num_batches_tracked", case .buffer = member.kind else { return false }
  return ["running_mean", "running_var"].allSatisfy { name in members.contains { $0.name == name } }
}

private func fitted(_ key: String, _ found: Tensor, to current: Tensor) throws -> Tensor {
  guard found.shape == current.shape else {
    throw ConvError.shapeMismatch(
      what: "'\(key)' of the state dictionary", expected: current.shape, found: found.shape)
  }
  let floating = [ElementType.float32, .float64]
  let converted =
    floating.contains(found.elementType) && floating.contains(current.elementType)
    ? try found.converted(to: current.elementType)
    : try found.exactly(as: current.elementType, what: "'\(key)' of the state dictionary")
  return try converted.converted(to: current.format)
}
