import ConvCore

/// The shape of a model's input, stated from outside where the model leaves sizes open.
public struct InputShape: Hashable, Sendable {
  /// The input; nil means the only one.
  public let name: String?
  public let sizes: [Int]

  /// The shape of the input of that name.
  public init(name: String?, sizes: [Int]) {
    self.name = name
    self.sizes = sizes
  }

  /// Shapes in the language of trtexec's `--shapes`: `image:1x3x224x224,mask:1x224x224`, and `1x3x224x224` for a model of one input.
  /// Names may hold colons, as TensorFlow's do.
  ///
  /// - Throws: `InputShapeError`.
  public static func list(_ text: String) throws -> [InputShape] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      let colon = part.lastIndex(of: ":")
      let name = colon.map { String(part[..<$0]) }
      let digits = part[(colon.map { part.index(after: $0) } ?? part.startIndex)...]
      let sizes = digits.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
      guard name != "", sizes.allSatisfy({ (1...ModelValue.largestSize).contains($0) }) else {
        throw InputShapeError("'\(part)' is no shape of an input, as image:1x3x224x224 is one")
      }
      return InputShape(name: name, sizes: sizes)
    }
  }

  /// `image:1x3x224x224`.
  public var description: String {
    (name.map { "\($0):" } ?? "") + sizes.map(String.init).joined(separator: "x")
  }
}

/// A stated shape that is none, or that the model contradicts.
public struct InputShapeError: Error, CustomStringConvertible, Equatable {
  public let description: String
  init(_ description: String) { self.description = description }
}

/// The sizes of a model's inputs: its own, and where it leaves them open those that were stated.
struct InputSizes {
  /// The names of the inputs that are no weights.
  let inputs: [String]
  /// Whether the model leaves the batch of an input open.
  private(set) var hasOpenBatch = false
  private let batch: Int
  /// Stated shapes by input.
  private var shapes: [String: [Int]] = [:]
  /// The sizes of the names that the model gives to open sizes.
  private var sizeOfName: [String: Int] = [:]

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
    let weights = Set(graph.initializer.map(\.name))
    let own = graph.input.filter { !weights.contains($0.name) }
    inputs = own.map(\.name)
    self.batch = batch ?? 1
    for shape in shapes {
      if shape.name == nil && own.count != 1 {
        throw InputShapeError(
          "\(path) has \(own.count) inputs (\(inputs.joined(separator: ", "))): \(shape.description) has to name one"
        )
      }
      guard let info = own.first(where: { $0.name == shape.name ?? own[0].name }) else {
        if passesOverOthers { continue }
        throw InputShapeError(
          "\(shape.description): \(path) has no such input; known: \(inputs.joined(separator: ", "))")
      }
      try state(shape.sizes, for: info, path: path, batch: batch)
    }
    // Inputs that share the name of their batch share its size.
    for info in own where self.shapes[info.name] == nil {
      guard let first = info.type.tensorType.shape.dim.first, first.openName != nil else { continue }
      hasOpenBatch = true
      if let name = first.openName, !name.isEmpty, sizeOfName[name] == nil { sizeOfName[name] = self.batch }
    }
  }

  private mutating func state(_ sizes: [Int], for info: Onnx_ValueInfoProto, path: String, batch: Int?) throws
  {
    let stated = InputShape(name: info.name, sizes: sizes).description
    if shapes[info.name] != nil { throw InputShapeError("\(stated): the input has two shapes") }
    guard info.type.tensorType.hasShape else {
      shapes[info.name] = sizes
      return
    }
    let dimensions = info.type.tensorType.shape.dim
    guard dimensions.count == sizes.count else {
      throw InputShapeError("\(stated) has \(sizes.count) axes, in \(path) the input has \(dimensions.count)")
    }
    for (axis, (dimension, size)) in zip(dimensions, sizes).enumerated() {
      guard let name = dimension.openName else {
        if dimension.dimValue == Int64(size) { continue }
        throw InputShapeError("\(stated): in \(path) the size of axis \(axis) is \(dimension.dimValue)")
      }
      if axis == 0 {
        hasOpenBatch = true
        if let batch, batch != size {
          throw InputShapeError("\(stated) has the batch \(size), but the batch is to be \(batch)")
        }
      }
      if let other = sizeOfName[name], other != size, !name.isEmpty {
        throw InputShapeError("\(stated): in \(path) axis \(axis) is '\(name)', which is \(other) elsewhere")
      }
      if !name.isEmpty { sizeOfName[name] = size }
    }
    shapes[info.name] = sizes
  }

  /// What is known of an input before the graph runs.
  ///
  /// - Throws: `InferenceStop`.
  func shape(ofInput info: Onnx_ValueInfoProto) throws -> ModelValue {
    if let stated = shapes[info.name] { return try ModelValue(stated) }
    return try shape(of: info.type, isInput: true, name: info.name)
  }

  /// A shape that the model states of one of its values.
  ///
  /// - Throws: `InferenceStop`.
  func shape(stated type: Onnx_TypeProto) throws -> ModelValue {
    try shape(of: type, isInput: false, name: "")
  }

  private func shape(of type: Onnx_TypeProto, isInput: Bool, name input: String) throws -> ModelValue {
    guard case .tensorType(let tensor)? = type.value, tensor.hasShape else {
      throw InferenceStop("has no shape")
    }
    let known = tensor.shape.dim.enumerated().map { axis, dimension -> Int? in
      guard let name = dimension.openName else { return Int(clamping: dimension.dimValue) }
      return sizeOfName[name] ?? (isInput && axis == 0 ? batch : nil)
    }
    if let axis = known.firstIndex(of: nil) {
      let name = tensor.shape.dim[axis].openName ?? ""
      let example = zip(known, tensor.shape.dim).map { size, dimension in
        size.map(String.init) ?? (dimension.openName.flatMap { $0.isEmpty ? nil : $0 } ?? "?")
      }.joined(separator: "x")
      throw InferenceStop(
        "leaves the size of axis \(axis)\(name.isEmpty ? "" : " ('\(name)')") open"
          + (isInput ? "; state its shape, --shapes \(input):\(example)" : ""))
    }
    return try ModelValue(known.compactMap { $0 })
  }
}

extension Onnx_TensorShapeProto.Dimension {
  /// The name of a size that is open, empty if it has none; nil where it is fixed.
  var openName: String? {
    switch value {
    case .dimValue(let size)? where size > 0: nil
    case .dimParam(let name)?: name
    default: ""
    }
  }
}
