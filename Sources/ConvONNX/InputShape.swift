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
        throw InputShapeError("'\(Excerpt.of(part))' is no shape of an input, as image:1x3x224x224 is one")
      }
      return InputShape(name: name, sizes: sizes)
    }
  }

  /// `image:1x3x224x224`.
  public var description: String {
    (name.map { "\($0):" } ?? "") + sizes.map(String.init).joined(separator: "x")
  }

  /// The text as errors quote it.
  public var excerpt: String { Excerpt.of(description) }
  /// Names of inputs as errors quote them.
  public static func excerpt(_ inputs: [String]) -> String { Excerpt.names(inputs) }
}

/// A stated shape that is none, or that the model contradicts.
public struct InputShapeError: Error, CustomStringConvertible, Equatable {
  public let description: String
  init(_ description: String) { self.description = description }
}
