/// A sentence in which engines are named: each kind of report writes their names in its own way.
public struct AnswerSentence: Sendable, Hashable, ExpressibleByStringInterpolation {
  /// A part of a sentence.
  public enum Part: Sendable, Hashable {
    case text(String)
    case engine(String)
  }

  /// The parts in their order.
  public private(set) var parts: [Part]

  /// Collects the parts: `"take \(engine: "fft") for \(suite)"`.
  public struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var parts: [Part] = []

    public init(literalCapacity: Int, interpolationCount: Int) {}

    public mutating func appendLiteral(_ literal: String) { append(literal) }

    /// Text as it is.
    public mutating func appendInterpolation(_ text: String) { append(text) }

    /// A number of things.
    public mutating func appendInterpolation(_ count: Int) { append("\(count)") }

    /// An engine's name.
    public mutating func appendInterpolation(engine: String) { parts.append(.engine(engine)) }

    /// A part that is a sentence itself.
    public mutating func appendInterpolation(_ sentence: AnswerSentence) { parts += sentence.parts }

    private mutating func append(_ text: String) { if !text.isEmpty { parts.append(.text(text)) } }
  }

  public init(stringLiteral value: String) { parts = value.isEmpty ? [] : [.text(value)] }

  public init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

  /// Whether it says nothing.
  public var isEmpty: Bool { parts.isEmpty }

  /// For terminals.
  public var text: String {
    written {
      $0
    } text: {
      $0
    }
  }

  /// The sentence with names and text written by two functions.
  public func written(engine: (String) -> String, text: (String) -> String) -> String {
    parts.map { part in
      switch part {
      case .text(let words): text(words)
      case .engine(let name): engine(name)
      }
    }.joined()
  }

  /// The sentence in Markdown, with engines in bold type.
  var markdown: Markdown {
    parts.reduce(into: "") { text, part in
      switch part {
      case .text(let words): text += "\(words)"
      case .engine(let name): text += "**\(name)**"
      }
    }
  }

  static func + (left: AnswerSentence, right: AnswerSentence) -> AnswerSentence { "\(left)\(right)" }

  static func += (left: inout AnswerSentence, right: AnswerSentence) { left = left + right }

  /// `a, b and c`.
  static func list(_ items: [AnswerSentence], last word: String = "and") -> AnswerSentence {
    guard let first = items.first else { return "" }
    return items.indices.dropFirst().reduce(first) { text, index in
      index == items.count - 1 ? "\(text) \(word) \(items[index])" : "\(text), \(items[index])"
    }
  }
}
