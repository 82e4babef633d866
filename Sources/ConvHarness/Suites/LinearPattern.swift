import ConvCore

/// A regular expression that stands in a file or on a command line, and so may be hostile: searched for in time proportional to the
/// text times the expression.
///
/// Swift's own engine goes back over the text, which takes `(a*)*b` longer than anybody waits, and its parser has no limit of depth. Here
/// all ways through the expression are followed at once (Thompson, CACM 11(6), 1968). There are literals, `.`, `[a-z]`, `[^a-z]`,
/// `\d \w \s \D \W \S` (of ASCII), `\` before anything that is no letter or digit, `( )`, `(?: )`, `|`, `* + ?` and `{n}`, `{n,}`, `{n,m}`, also with a
/// `?` behind, and `^`, `$`, `\b`, `\B`. What needs to go back (`(?= )`, `(?! )`, `\1`) is an error.
struct LinearPattern {
  /// What is wrong with an expression, and before which of its characters (Unicode scalars).
  struct SyntaxError: Error {
    let offset: Int
    let reason: String

    /// The sentence about the expression `text`, with the place.
    func message(_ text: String) -> String {
      "\(quoting: text) is no regular expression: \(reason), at character \(offset + 1)"
        + QuotedText.marked(text, at: offset)
    }
  }

  /// Steps that an expression may have, its repetitions written out.
  static let stepLimit = 2000

  private enum Step {
    case one(ScalarSet)
    /// Goes on at both places.
    case fork(Int, Int)
    case jump(Int)
    case start, end, match
    /// Between a character of a word and one that is none, or not.
    case boundary(Bool)
  }

  private let steps: [Step]

  /// Reads an expression.
  ///
  /// - Throws: `SyntaxError`.
  init(_ text: String) throws {
    var parser = PatternParser(text)
    let expression = try parser.expression()
    var steps: [Step] = []
    try Self.append(expression, to: &steps)
    steps.append(.match)
    self.steps = steps
  }

  private static func append(_ expression: PatternExpression, to steps: inout [Step]) throws {
    guard steps.count < stepLimit else {
      throw SyntaxError(offset: 0, reason: "more than \(stepLimit) steps, repetitions written out")
    }
    switch expression {
    case .one(let set): steps.append(.one(set))
    case .start: steps.append(.start)
    case .end: steps.append(.end)
    case .boundary(let isOne): steps.append(.boundary(isOne))
    case .sequence(let parts): for part in parts { try append(part, to: &steps) }
    case .choice(let a, let b):
      let fork = steps.count
      steps.append(.jump(0))
      try append(a, to: &steps)
      let jump = steps.count
      steps.append(.jump(0))
      steps[fork] = .fork(fork + 1, steps.count)
      try append(b, to: &steps)
      steps[jump] = .jump(steps.count)
    case .repeated(let part, let least, let most):
      for _ in 0..<least {
        let before = steps.count
        try append(part, to: &steps)
        // Nothing a thousand times a thousand times is nothing.
        if steps.count == before { break }
      }
      if let most {
        for _ in least..<most { try appendOptional(part, to: &steps, repeats: false) }
      } else {
        try appendOptional(part, to: &steps, repeats: true)
      }
    }
  }

  private static func appendOptional(
    _ part: PatternExpression, to steps: inout [Step], repeats: Bool
  ) throws {
    let fork = steps.count
    steps.append(.jump(0))
    try append(part, to: &steps)
    if repeats { steps.append(.jump(fork)) }
    steps[fork] = .fork(fork + 1, steps.count)
  }

  /// Whether the expression matches a part of the text.
  ///
  /// - Parameter work: grows by the comparisons that this takes; beyond `PatternWork.limit` the search ends, and the answer means
  ///   nothing.
  func isFound(in text: String, work: inout Int) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var places = PlaceSet(count: steps.count)
    var next = PlaceSet(count: steps.count)
    for offset in 0...scalars.count {
      if follow(0, at: offset, in: scalars, into: &places) { return true }
      work += places.list.count + 1
      guard offset < scalars.count, work <= PatternWork.limit else { return false }
      for place in places.list {
        guard case .one(let set) = steps[place] else { continue }
        work += set.ranges.count
        if set.contains(scalars[offset]),
          follow(place + 1, at: offset + 1, in: scalars, into: &next)
        {
          return true
        }
      }
      swap(&places, &next)
      next.removeAll()
    }
    return false
  }

  /// Adds a place, and those that are reached from it without reading anything; true where the end is among them.
  private func follow(
    _ place: Int, at offset: Int, in scalars: [Unicode.Scalar], into places: inout PlaceSet
  ) -> Bool {
    var open = [place]
    while let place = open.popLast() {
      guard places.insert(place) else { continue }
      switch steps[place] {
      case .fork(let a, let b): open += [b, a]
      case .jump(let target): open.append(target)
      case .start: if offset == 0 { open.append(place + 1) }
      case .end: if offset == scalars.count { open.append(place + 1) }
      case .boundary(let isOne):
        let before = offset > 0 && ScalarSet.isOfWord(scalars[offset - 1])
        let behind = offset < scalars.count && ScalarSet.isOfWord(scalars[offset])
        if (before != behind) == isOne { open.append(place + 1) }
      case .one: break
      case .match: return true
      }
    }
    return false
  }
}

/// Places in an expression, each once.
private struct PlaceSet {
  private(set) var list: [Int] = []
  private var isThere: [Bool]

  init(count: Int) { isThere = Array(repeating: false, count: count) }

  /// Whether the place is new.
  mutating func insert(_ place: Int) -> Bool {
    if isThere[place] { return false }
    isThere[place] = true
    list.append(place)
    return true
  }

  mutating func removeAll() {
    for place in list { isThere[place] = false }
    list.removeAll(keepingCapacity: true)
  }
}

/// Unicode scalars.
struct ScalarSet {
  var ranges: [ClosedRange<Unicode.Scalar>] = []
  var isInverted = false

  func contains(_ scalar: Unicode.Scalar) -> Bool { ranges.contains { $0.contains(scalar) } != isInverted }

  static let digits = ["0"..."9"] as [ClosedRange<Unicode.Scalar>]
  static let word = ["0"..."9", "A"..."Z", "_"..."_", "a"..."z"] as [ClosedRange<Unicode.Scalar>]
  static func isOfWord(_ scalar: Unicode.Scalar) -> Bool { word.contains { $0.contains(scalar) } }
  static let blanks = ["\t"..."\r", " "..." "] as [ClosedRange<Unicode.Scalar>]
}
