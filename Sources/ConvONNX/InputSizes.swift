import ConvCore

/// The sizes of a model's inputs: its own, and where it leaves them open those that were stated.
///
/// Open sizes are the same wherever they have the same name, if it is one (`OpenSize.identity`). The batch is the first size of an input and
/// nothing else: where it stands for another size too, that one has to be stated.
struct InputSizes {
  /// The names of the inputs that are no weights.
  let inputs: [String]
  /// Whether the model leaves the batch of an input open.
  private(set) var hasOpenBatch = false
  /// Whether inputs have their first size from `batch`.
  private(set) var takesBatch = false
  private var batch: Int?
  /// Stated shapes by input.
  private var shapes: [String: [Int]] = [:]
  /// The sizes of the names that the model gives to open sizes, but for those that are the batch.
  private var sizeOfName: [String: Int] = [:]
  /// The names of the batch.
  private var batchNames: Set<String> = []

  /// The sizes of a graph's inputs.
  ///
  /// - Parameters:
  ///   - path: the model, for errors.
  ///   - batch: of all inputs that leave their first size open and have no stated shape; else 1.
  ///   - passesOverOthers: whether shapes of inputs that there are not are no error.
  init(
    _ graph: Onnx_GraphProto, path: String, batch: Int? = nil, shapes: [InputShape] = [],
    passesOverOthers: Bool = false
  ) throws {
    let weights = Set(graph.initializer.map(\.name) + graph.sparseInitializer.map(\.values.name))
    let own = graph.input.filter { !weights.contains($0.name) }
    inputs = own.map(\.name)
    self.batch = batch ?? 1
    for shape in shapes {
      if shape.name == nil && own.count != 1 {
        throw InputShapeError(
          "\(path) has \(own.count) inputs (\(Excerpt.names(inputs))): \(shape.excerpt) has to name one")
      }
      guard let info = own.first(where: { $0.name == shape.name ?? own[0].name }) else {
        if passesOverOthers { continue }
        throw InputShapeError(
          "\(shape.excerpt): \(path) has no such input; known: \(Excerpt.names(inputs))")
      }
      try state(shape.sizes, for: info, path: path, batch: batch)
    }
    for info in own where self.shapes[info.name] == nil {
      guard let first = info.type.sizes?.first, first.isOpen else { continue }
      hasOpenBatch = true
      if first.identity.flatMap({ sizeOfName[$0] }) == nil { takesBatch = true }
    }
    batchNames = Self.batchNames(of: own)
  }

  /// The same with another batch; nil: nothing takes the batch as its size.
  func with(batch: Int?) -> InputSizes {
    var copy = self
    copy.batch = batch
    copy.takesBatch = takesBatch && batch != nil
    if batch == nil {
      copy.batchNames = []
      copy.hasOpenBatch = !shapes.isEmpty && hasOpenBatch
    }
    return copy
  }

  /// Other batches, to see what else changes with them; nil where nothing takes the batch. What divides the batch divides them too.
  var otherBatches: (Int, Int)? {
    guard takesBatch, let batch, batch <= ModelValue.largestSize / 128 else { return nil }
    return (64 * batch, 128 * batch)
  }

  /// Names of first sizes, but for those that an image has as well: that stand behind the first two axes, or twice in a shape.
  private static func batchNames(of inputs: [Onnx_ValueInfoProto]) -> Set<String> {
    var names = Set(inputs.compactMap { $0.type.sizes?.first?.identity })
    for info in inputs {
      let own = (info.type.sizes ?? []).map(\.identity)
      for (axis, name) in own.enumerated() {
        guard let name, axis >= 2 || own[..<axis].contains(name) else { continue }
        names.remove(name)
      }
    }
    return names
  }

  private mutating func state(_ sizes: [Int], for info: Onnx_ValueInfoProto, path: String, batch: Int?) throws
  {
    let stated = Excerpt.of(InputShape(name: info.name, sizes: sizes).description)
    if shapes[info.name] != nil { throw InputShapeError("\(stated): the input has two shapes") }
    guard let dimensions = info.type.sizes else {
      shapes[info.name] = sizes
      return
    }
    guard dimensions.count == sizes.count else {
      throw InputShapeError("\(stated) has \(sizes.count) axes, in \(path) the input has \(dimensions.count)")
    }
    for (axis, (dimension, size)) in zip(dimensions, sizes).enumerated() {
      guard dimension.isOpen else {
        if dimension.dimValue == Int64(size) { continue }
        throw InputShapeError("\(stated): in \(path) the size of axis \(axis) is \(dimension.dimValue)")
      }
      if axis == 0 {
        hasOpenBatch = true
        if let batch, batch != size {
          throw InputShapeError("\(stated) has the batch \(size), but the batch is to be \(batch)")
        }
      }
      guard let name = dimension.identity else { continue }
      if let other = sizeOfName[name], other != size {
        throw InputShapeError(
          "\(stated): in \(path) axis \(axis) is '\(Excerpt.of(name))', which is \(other) elsewhere")
      }
      sizeOfName[name] = size
    }
    shapes[info.name] = sizes
  }

  /// What is known of an input before the graph runs.
  ///
  /// - Throws: `InferenceStop`.
  func shape(ofInput info: Onnx_ValueInfoProto) throws -> ModelValue {
    var value: ModelValue
    if let stated = shapes[info.name] {
      value = try ModelValue(stated)
    } else {
      value = try shape(of: info.type, isInput: true, name: info.name)
    }
    value.elementType = info.type.elementType
    return value
  }

  /// A shape that the model states of one of its values.
  ///
  /// - Throws: `InferenceStop`.
  func shape(stated type: Onnx_TypeProto) throws -> ModelValue {
    try shape(of: type, isInput: false, name: "")
  }

  private func shape(of type: Onnx_TypeProto, isInput: Bool, name input: String) throws -> ModelValue {
    guard let sizes = type.sizes else { throw InferenceStop("has no shape") }
    guard sizes.count <= 32 else { throw InferenceStop("has \(sizes.count) axes") }
    let known = sizes.enumerated().map { axis, size -> Int? in
      guard size.isOpen else { return Int(clamping: size.dimValue) }
      if let name = size.identity {
        if let known = sizeOfName[name] { return known }
        if batchNames.contains(name), let batch { return batch }
      }
      return isInput && axis == 0 ? batch : nil
    }
    if let axis = known.firstIndex(of: nil) {
      let name = sizes[axis].label
      let example = zip(known, sizes).map { $0.map(String.init) ?? ($1.label.isEmpty ? "?" : $1.label) }
      throw InferenceStop(
        "leaves the size of axis \(axis)\(name.isEmpty ? "" : " ('\(name)')") open"
          + (isInput
            ? "; state its shape, --shapes \(Excerpt.of("\(input):\(example.joined(separator: "x"))"))" : ""))
    }
    return try ModelValue(known.compactMap { $0 })
  }
}

extension Onnx_TypeProto {
  /// The sizes of a tensor; nil where they are not stated, or it is none.
  var sizes: [Onnx_TensorShapeProto.Dimension]? {
    guard case .tensorType(let tensor)? = value, tensor.hasShape else { return nil }
    return tensor.shape.dim
  }

  /// The type of a tensor's elements.
  var elementType: Int32? {
    guard case .tensorType(let tensor)? = value, tensor.hasElemType, tensor.elemType != 0 else { return nil }
    return tensor.elemType
  }
}

extension Onnx_TensorShapeProto.Dimension {
  /// Whether the size is left open; 0 and negative numbers stand for that too.
  var isOpen: Bool {
    if case .dimValue(let size)? = value { return size <= 0 }
    return true
  }

  /// What the model writes for an open size.
  var label: String {
    if case .dimParam(let name)? = value { return Excerpt.of(name) }
    return ""
  }

  /// The name by which an open size is the same wherever it stands. Signs and numbers (`?`, `-1`) and words for nothing are no names:
  /// exporters write them for every open size.
  var identity: String? {
    guard case .dimParam(let name)? = value else { return nil }
    let core = name.filter { $0.isLetter || $0.isNumber }
    guard core.contains(where: \.isLetter), !Self.noNames.contains(core.lowercased()) else { return nil }
    return name
  }

  private static let noNames: Set<String> = [
    "none", "null", "nil", "nan", "any", "unk", "unknown", "undefined",
  ]
}
