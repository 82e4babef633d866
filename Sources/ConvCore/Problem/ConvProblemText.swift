// The canonical one-line text of a problem: `conv2d:n1c64h56w56k64r3s3p1`.
//
// After the kind: letters of the field, each followed by its number. Batch 1, stride 1 (`u`), padding 0 (`p`),
// dilation 1 (`l`, dense) and groups 1 (`g`) need not be written, and all but the batch are not. `u`, `l` and `p` take one
// number for all axes or one per axis (`u2x1`); `p` also one per side (`pT,B,L,R`; 1-D `pL,R`; 3-D front and back first).

extension ConvProblem: CustomStringConvertible {
  /// The canonical text.
  public var description: String {
    var text = "conv\(spatialRank)d:n\(n)c\(c)"
    let axes = axesInUse
    for axis in axes { text += "\(Self.inputLetters[axis])\(input[axis])" }
    text += "k\(k)"
    for axis in axes { text += "\(Self.filterLetters[axis])\(filter[axis])" }
    text += Self.perAxis("u", axes.map { stride[$0] })
    let sides = axes.flatMap { [padding.before[$0], padding.after[$0]] }
    if Set(sides).count > 1 {
      text += "p" + sides.map(String.init).joined(separator: ",")
    } else if sides[0] != 0 {
      text += "p\(sides[0])"
    }
    text += Self.perAxis("l", axes.map { dilation[$0] })
    if groups != 1 { text += "g\(groups)" }
    return text
  }

  /// Spatial axes that the problem has: 0 depth, 1 height, 2 width.
  public var axesInUse: Range<Int> { (3 - spatialRank)..<3 }

  fileprivate static let inputLetters: [Character] = ["d", "h", "w"]
  fileprivate static let filterLetters: [Character] = ["t", "r", "s"]

  private static func perAxis(_ letter: String, _ values: [Int]) -> String {
    if Set(values).count > 1 { return letter + values.map(String.init).joined(separator: "x") }
    return values[0] == 1 ? "" : "\(letter)\(values[0])"
  }

  /// Reads the canonical text.
  ///
  /// - Throws: `ConvError.malformedProblem` with the position, or `.invalidProblem`.
  public init(parsing text: String) throws {
    var reader = ProblemTextReader(text)
    self = try reader.problem()
  }
}

/// Reads one canonical text from left to right.
private struct ProblemTextReader {
  let text: String
  let characters: [Character]
  var position = 0

  init(_ text: String) {
    self.text = text
    characters = Array(text)
  }

  func failure(_ reason: String, at offset: Int? = nil) -> ConvError {
    .malformedProblem(text: text, offset: offset ?? position, reason: reason)
  }

  mutating func problem() throws -> ConvProblem {
    let rank = try kind()
    let firstAxis = 3 - rank
    var numbers: [Character: Int] = [:]
    var lists: [Character: [Int]] = [:]
    let inputs = ConvProblem.inputLetters[firstAxis...]
    let filters = ConvProblem.filterLetters[firstAxis...]
    let scalars: [Character] = ["n", "c", "k", "g"] + inputs + filters
    let known = scalars + ["u", "p", "l"]
    while position < characters.count {
      let letter = characters[position]
      let start = position
      guard known.contains(letter) else {
        let names = known.map(String.init).joined(separator: " ")
        throw failure("unexpected '\(letter)' in a \(rank)-D problem; the letters are \(names)")
      }
      guard numbers[letter] == nil, lists[letter] == nil else {
        throw failure("'\(letter)' is given twice")
      }
      position += 1
      if scalars.contains(letter) {
        numbers[letter] = try number(after: letter)
      } else {
        lists[letter] = try list(after: letter, rank: rank, start: start)
      }
    }
    for letter in ["c", "k"] + inputs + filters where numbers[letter] == nil {
      throw failure("'\(letter)' is missing")
    }
    var input = Extent(w: 1), filter = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
    var before = Extent(d: 0, h: 0, w: 0), after = Extent(d: 0, h: 0, w: 0)
    for axis in firstAxis..<3 {
      let index = axis - firstAxis
      input[axis] = numbers[ConvProblem.inputLetters[axis]]!
      filter[axis] = numbers[ConvProblem.filterLetters[axis]]!
      if let u = lists["u"] { stride[axis] = u.count == 1 ? u[0] : u[index] }
      if let l = lists["l"] { dilation[axis] = l.count == 1 ? l[0] : l[index] }
      if let p = lists["p"] {
        before[axis] = p.count == 1 ? p[0] : p.count == 2 * rank ? p[2 * index] : p[index]
        after[axis] = p.count == 1 ? p[0] : p.count == 2 * rank ? p[2 * index + 1] : p[index]
      }
    }
    return try ConvProblem(
      spatialRank: rank, n: numbers["n"] ?? 1, c: numbers["c"]!, k: numbers["k"]!,
      groups: numbers["g"] ?? 1, input: input, filter: filter, stride: stride,
      padding: Padding(before: before, after: after), dilation: dilation)
  }

  private mutating func kind() throws -> Int {
    for rank in 1...3 where text.hasPrefix("conv\(rank)d:") {
      position = 7
      return rank
    }
    throw failure("a problem begins with conv1d:, conv2d: or conv3d:", at: 0)
  }

  private mutating func number(after letter: Character) throws -> Int {
    let start = position
    var value = 0
    while position < characters.count, let digit = characters[position].asciiDigit {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(digit)
      if overflow || carry { throw failure("the number after '\(letter)' is too large", at: start) }
      value = sum
      position += 1
    }
    if position == start { throw failure("a number is needed after '\(letter)'") }
    return value
  }

  /// One number, one per axis (`2x1`), or for padding one per side (`0,1,0,1`).
  private mutating func list(after letter: Character, rank: Int, start: Int) throws -> [Int] {
    var values = [try number(after: letter)]
    var separator: Character?
    while position < characters.count, characters[position] == "x" || characters[position] == "," {
      let found = characters[position]
      if let separator, separator != found { throw failure("'x' and ',' are mixed after '\(letter)'") }
      separator = found
      position += 1
      values.append(try number(after: letter))
    }
    let perSide = separator == ","
    if perSide && letter != "p" {
      throw failure("'\(letter)' takes one number per axis, as in \(letter)2x1", at: start)
    }
    let expected = perSide ? 2 * rank : rank
    guard values.count == 1 || values.count == expected else {
      throw failure("'\(letter)' has \(values.count) numbers, 1 or \(expected) are possible", at: start)
    }
    // A 1-D "p2" has one axis and is one number; "p1,2" has two sides.
    return values
  }
}

extension Character {
  /// The value of an ASCII decimal digit.
  var asciiDigit: Int? {
    guard let value = asciiValue, (48...57).contains(value) else { return nil }
    return Int(value) - 48
  }
}
