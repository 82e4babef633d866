/// The parts of a regular expression.
indirect enum PatternExpression {
  case one(ScalarSet)
  case start, end
  /// `\b`, or `\B`.
  case boundary(Bool)
  case sequence([PatternExpression])
  case choice(PatternExpression, PatternExpression)
  /// At least and at most so often; nil: as often as it goes.
  case repeated(PatternExpression, Int, Int?)
}

/// Reads the regular expressions of `LinearPattern`.
struct PatternParser {
  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0
  static let deepestNesting = 50
  /// Largest number in `{n,m}`.
  private static let mostRepetitions = 1000

  init(_ text: String) { scalars = Array(text.unicodeScalars) }

  private var current: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private func error(_ reason: String, at offset: Int? = nil) -> LinearPattern.SyntaxError {
    .init(offset: offset ?? position, reason: reason)
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard current == scalar else { return false }
    position += 1
    return true
  }

  /// The whole text.
  mutating func expression() throws -> PatternExpression {
    let result = try choice()
    if position < scalars.count { throw error("')' without '('") }
    return result
  }

  private mutating func choice() throws -> PatternExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepestNesting else {
      throw error("nested deeper than \(Self.deepestNesting) levels")
    }
    var alternatives = [try sequence()]
    while take("|") { alternatives.append(try sequence()) }
    // A balanced tree: of thousands of alternatives a list would be as deep.
    while alternatives.count > 1 {
      alternatives = stride(from: 0, to: alternatives.count, by: 2).map { i in
        i + 1 < alternatives.count ? .choice(alternatives[i], alternatives[i + 1]) : alternatives[i]
      }
    }
    return alternatives[0]
  }

  private mutating func sequence() throws -> PatternExpression {
    var parts: [PatternExpression] = []
    while let scalar = current, scalar != "|", scalar != ")" { parts.append(try repeated()) }
    return .sequence(parts)
  }

  private mutating func repeated() throws -> PatternExpression {
    let part = try atom()
    let (least, most): (Int, Int?)
    switch current {
    case "*": (least, most) = (0, nil)
    case "+": (least, most) = (1, nil)
    case "?": (least, most) = (0, 1)
    case "{": (least, most) = try counts()
    default: return part
    }
    position += 1
    // Fewer or more first: for whether it matches that is the same.
    _ = take("?")
    if let next = current, "*+?{".unicodeScalars.contains(next) {
      throw error("'\(next)' after a repetition: put it into ( )")
    }
    return .repeated(part, least, most)
  }

  /// `{n}`, `{n,}` or `{n,m}`, up to its end.
  private mutating func counts() throws -> (Int, Int?) {
    position += 1
    let least = try number()
    var most: Int? = least
    if take(",") { most = current == "}" ? nil : try number() }
    guard current == "}" else { throw error("'}' expected") }
    if let most, most < least { throw error("{\(least),\(most)} ends before it begins") }
    return (least, most)
  }

  private mutating func number() throws -> Int {
    let start = position
    var value = 0
    while let digit = current, ("0"..."9").contains(digit) {
      value = value * 10 + Int(digit.value) - 48
      guard value <= Self.mostRepetitions else {
        throw error("more than \(Self.mostRepetitions) repetitions", at: start)
      }
      position += 1
    }
    guard position > start else { throw error("a number expected") }
    return value
  }

  private mutating func atom() throws -> PatternExpression {
    let start = position
    guard let scalar = current else { throw error("a character expected") }
    position += 1
    switch scalar {
    case "(":
      if take("?"), !take(":") {
        throw error(
          "of (?…) there is only (?:…): no looking ahead or behind, no names, no options", at: start)
      }
      let inner = try choice()
      guard take(")") else { throw error("')' expected") }
      return inner
    case "[": return .one(try bracket())
    case ".": return .one(ScalarSet(ranges: ["\n"..."\n"], isInverted: true))
    case "^": return .start
    case "$": return .end
    case "\\":
      if take("b") { return .boundary(true) }
      if take("B") { return .boundary(false) }
      return .one(try escape())
    case "*", "+", "?", "{": throw error("'\(scalar)' has nothing before it to repeat", at: start)
    default: return .one(ScalarSet(ranges: [scalar...scalar]))
    }
  }

  private mutating func escape() throws -> ScalarSet {
    guard let scalar = current else { throw error("nothing follows the last \\") }
    position += 1
    switch scalar {
    case "d": return ScalarSet(ranges: ScalarSet.digits)
    case "w": return ScalarSet(ranges: ScalarSet.word)
    case "s": return ScalarSet(ranges: ScalarSet.blanks)
    case "D": return ScalarSet(ranges: ScalarSet.digits, isInverted: true)
    case "W": return ScalarSet(ranges: ScalarSet.word, isInverted: true)
    case "S": return ScalarSet(ranges: ScalarSet.blanks, isInverted: true)
    case "A"..."Z", "a"..."z", "0"..."9":
      throw error("'\\\(scalar)' is none of \\d \\w \\s \\D \\W \\S \\b \\B", at: position - 2)
    default: return ScalarSet(ranges: [scalar...scalar])
    }
  }

  /// What stands in `[ ]`, after the first bracket.
  private mutating func bracket() throws -> ScalarSet {
    let start = position - 1
    var set = ScalarSet()
    set.isInverted = take("^")
    var isFirst = true
    while let scalar = current, scalar != "]" || isFirst {
      isFirst = false
      position += 1
      if scalar == "[", current == ":" {
        throw error("there are no classes like [:alpha:]", at: position - 1)
      }
      var low = scalar
      if scalar == "\\" {
        let escaped = try escape()
        guard !escaped.isInverted, escaped.ranges.count == 1,
          escaped.ranges[0].lowerBound == escaped.ranges[0].upperBound
        else {
          guard !escaped.isInverted else { throw error("no \\D, \\W or \\S inside of [ ]", at: position - 2) }
          set.ranges += escaped.ranges
          continue
        }
        low = escaped.ranges[0].lowerBound
      }
      guard current == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
        set.ranges.append(low...low)
        continue
      }
      position += 1
      let high = scalars[position]
      guard high != "\\", high >= low else { throw error("\(low)-\(high) is no range") }
      position += 1
      set.ranges.append(low...high)
    }
    guard take("]") else { throw error("'[' without ']'", at: start) }
    return set
  }
}
