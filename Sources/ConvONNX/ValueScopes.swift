/// What is known of the values that a graph's nodes can name: its own, and around it those of the graphs that it lies in, up to the
/// function or the model's graph. A function sees nothing but its own.
struct ValueScopes {
  private struct Scope {
    let isFunction: Bool
    let call: FunctionCall
    /// Shapes that the model itself states, for operators without a rule.
    let stated: [String: Onnx_TypeProto]
    var values: [String: Result<ModelValue, InferenceStop>] = [:]
    /// Inputs of a function that its call leaves out.
    var absent: Set<String> = []
  }

  private var scopes: [Scope] = []

  /// The call that runs the present function.
  var call: FunctionCall { scopes.last?.call ?? FunctionCall() }
  /// What is known of the outermost graph's values.
  var outermost: [String: Result<ModelValue, InferenceStop>] { scopes.first?.values ?? [:] }

  /// A function's scope.
  mutating func enter(_ function: ModelFunctions.Function, call: FunctionCall) {
    scopes.append(Scope(isFunction: true, call: call, stated: function.stated))
  }

  /// The scope of a graph within the present one.
  mutating func enter(_ graph: Onnx_GraphProto) {
    let stated = (graph.valueInfo + graph.output).map { ($0.name, $0.type) }
    scopes.append(
      Scope(
        isFunction: scopes.isEmpty, call: call,
        stated: Dictionary(stated, uniquingKeysWith: { first, _ in first })))
  }

  mutating func leave() { scopes.removeLast() }

  /// What is known of a value; nil for an input that the function's call leaves out.
  subscript(_ name: String) -> Result<ModelValue, InferenceStop>? {
    for scope in scopes.reversed() {
      if let known = scope.values[name] { return known }
      if scope.absent.contains(name) { return nil }
      if scope.isFunction { break }
    }
    return .failure(InferenceStop("takes '\(Excerpt.of(name))', which nothing before it gives"))
  }

  /// Sets what is known of a value of the present graph; nil: the call leaves it out.
  mutating func set(_ name: String, _ known: Result<ModelValue, InferenceStop>?) {
    let last = scopes.count - 1
    if let known {
      scopes[last].values[name] = known
    } else {
      scopes[last].absent.insert(name)
    }
  }

  /// The shape that the model states of a value of the present graph.
  func stated(_ name: String) -> Onnx_TypeProto? { scopes.last?.stated[name] }
}
