/// What went wrong, with what was asked and what was found.
public enum ConvError: Error, Hashable, Sendable {
  /// A convolution problem that cannot exist: which rule it breaks, with the numbers.
  case invalidProblem(String)
  /// A problem text that cannot be read: the text, the offset of the offending character, what is wrong there.
  case malformedProblem(text: String, offset: Int, reason: String)
  /// A tensor's shape is not the one that the operation needs.
  case shapeMismatch(what: String, expected: [Int], found: [Int])
  /// A tensor's element type is not the one that the operation needs.
  case elementTypeMismatch(what: String, expected: ElementType, found: ElementType)
  /// A tensor's memory format is not the one that the plan was made for.
  case formatMismatch(what: String, expected: MemoryFormat, found: MemoryFormat)
  /// A shape that no tensor can have (rank above 5, an extent below 1, a size that overflows).
  case invalidShape([Int], reason: String)
  /// The backend declines the operation.
  case unsupported(backend: String, operation: String, reason: String)
  /// An operand that the operation needs was not given, or one was given that it has no use for.
  case operand(String)
  /// The workspace is smaller than the plan's `workspaceBytes`.
  case workspaceTooSmall(needed: Int, found: Int)
  /// A filter prepared for another plan, or from weights that have changed since.
  case stalePreparedFilter(reason: String)
  /// A name (backend, variant, instruction set, …) that is not known, with the known ones.
  case unknownName(kind: String, name: String, known: [String])
}

extension ConvError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .invalidProblem(let message):
      return "invalid problem: \(QuotedText.tamed(message))"
    case .malformedProblem(let text, let offset, let reason):
      return "malformed problem at character \(offset + 1): \(QuotedText.tamed(reason))"
        + QuotedText.marked(text, at: offset)
    case .shapeMismatch(let what, let expected, let found):
      return "\(what) has shape \(found), expected \(expected)"
    case .elementTypeMismatch(let what, let expected, let found):
      return "\(what) holds \(found.rawValue), expected \(expected.rawValue)"
    case .formatMismatch(let what, let expected, let found):
      return "\(what) is in format \(found.rawValue), the plan was made for \(expected.rawValue)"
    case .invalidShape(let shape, let reason):
      return "invalid shape \(shape): \(reason)"
    case .unsupported(let backend, let operation, let reason):
      return "\(backend) does not support \(operation): \(reason)"
    case .operand(let message):
      return message
    case .workspaceTooSmall(let needed, let found):
      return "the plan needs \(needed) bytes of workspace, got \(found)"
    case .stalePreparedFilter(let reason):
      return "stale prepared filter: \(reason)"
    case .unknownName(let kind, let name, let known):
      return "unknown \(kind) \(quoting: name); known: \(known.joined(separator: ", "))"
    }
  }
}
