import Foundation

extension Tensor: CustomStringConvertible {
  /// The elements as PyTorch prints them, then shape and element type: `Tensor([0.5000, 1.0000], shape: [2], float32)`.
  ///
  /// Of more than 1000 elements the first and last three of each axis; only elements that are shown are read.
  public var description: String { text(named: "Tensor") }

  /// What it is, without its elements, for messages: `float32 [2, 3]`.
  public var kind: String {
    "\(elementType.rawValue) \(shape)" + (format == .nchw ? "" : " \(format.rawValue)")
  }

  /// The description under the name of what holds the tensor, with more to be said at its end.
  package func text(named name: String, notes: [String] = []) -> String {
    let facts =
      ["shape: \(shape)", elementType.rawValue] + (format == .nchw ? [] : [format.rawValue]) + notes
    let elements = TensorText(self, indent: name.count + 1).text
    return "\(name)(\(elements), \(facts.joined(separator: ", ")))"
  }
}

/// The elements of a tensor as text, laid out and rounded as PyTorch does it.
private struct TensorText {
  /// Elements beyond which a tensor is summarised, and how many are shown then at each end of an axis.
  private static let threshold = 1000
  private static let edge = 3
  private static let lineWidth = 80

  private let shape: [Int]
  private let strides: [Int]
  private let isSummary: Bool
  /// Columns in front of the first bracket.
  private let indent: Int
  /// The elements that are shown, by their physical place.
  private var elements: [Int: String] = [:]
  private var width = 0

  init(_ tensor: Tensor, indent: Int) {
    shape = tensor.shape
    strides = tensor.strides
    isSummary = tensor.count > TensorText.threshold
    self.indent = indent
    if tensor.count == 0 { return }
    let places = places(axis: 0, offset: 0)
    let texts = tensor.texts(at: places)
    elements = Dictionary(zip(places, texts), uniquingKeysWith: { first, _ in first })
    width = texts.map(\.count).max() ?? 0
  }

  /// All brackets and elements.
  var text: String { elements.isEmpty ? "[]" : text(axis: 0, offset: 0) }

  /// The indices of an axis that are shown; nil stands for those that are left out.
  private func indices(_ axis: Int) -> [Int?] {
    let (extent, edge) = (shape[axis], TensorText.edge)
    guard isSummary, extent > 2 * edge else { return Array(0..<extent) }
    return Array(0..<edge) + [nil] + Array(extent - edge..<extent)
  }

  private func places(axis: Int, offset: Int) -> [Int] {
    guard axis < shape.count else { return [offset] }
    return indices(axis).flatMap { index in
      index.map { places(axis: axis + 1, offset: offset + $0 * strides[axis]) } ?? []
    }
  }

  private func text(axis: Int, offset: Int) -> String {
    let parts = axis < shape.count ? indices(axis) : []
    switch shape.count - axis {
    case 0: return elements[offset] ?? ""
    case 1:
      let words = parts.map { index in
        index.map { padded(elements[offset + $0 * strides[axis]] ?? "") } ?? " …"
      }
      // As many on a line as fit, each with ", " behind it.
      let perLine = max(1, (TensorText.lineWidth - indent - axis) / (width + 2))
      let lines = stride(from: 0, to: words.count, by: perLine).map { start in
        words[start..<min(words.count, start + perLine)].joined(separator: ", ")
      }
      return "[" + lines.joined(separator: ",\n" + margin(axis)) + "]"
    default:
      let slices = parts.map { index in
        index.map { text(axis: axis + 1, offset: offset + $0 * strides[axis]) } ?? "…"
      }
      let newlines = String(repeating: "\n", count: shape.count - axis - 1)
      return "[" + slices.joined(separator: "," + newlines + margin(axis)) + "]"
    }
  }

  private func margin(_ axis: Int) -> String { String(repeating: " ", count: indent + axis + 1) }

  private func padded(_ text: String) -> String { String(repeating: " ", count: width - text.count) + text }
}

extension Tensor {
  /// The elements at some physical places as text, all with as many digits.
  fileprivate func texts(at places: [Int]) -> [String] {
    func read<T: TensorScalar>(_: T.Type) -> [T] {
      withUnsafePointer(as: T.self) { elements in places.map { elements[$0] } }
    }
    switch elementType {
    case .float32: return FloatText.texts(read(Float.self).map(Double.init))
    case .float64: return FloatText.texts(read(Double.self))
    case .int64: return read(Int64.self).map { "\($0)" }
    case .uint8: return read(UInt8.self).map { "\($0)" }
    case .bool: return read(Bool.self).map { "\($0)" }
    }
  }
}

/// Floating numbers beside each other: whole ones as `2.`, others with four decimals, all with an exponent where magnitudes
/// differ by more than a thousand or lie outside of 10⁻⁴ to 10⁸.
private enum FloatText {
  static func texts(_ values: [Double]) -> [String] {
    let figures = values.filter { $0.isFinite && $0 != 0 }
    let magnitudes = figures.map(abs)
    let (least, most) = (magnitudes.min() ?? 1, magnitudes.max() ?? 1)
    let areWhole = figures.allSatisfy { $0 == $0.rounded() }
    let haveExponents = most / least > 1e3 || most > 1e8 || least < 1e-4
    return values.map { value in
      if value.isNaN { return "nan" }
      if value.isInfinite { return value < 0 ? "-inf" : "inf" }
      if haveExponents { return String(format: "%.4e", value) }
      return areWhole ? String(format: "%.0f.", value) : String(format: "%.4f", value)
    }
  }
}
