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

/// Reads one canonical text from left to right, as bytes: a letter and its number at a time.
private struct ProblemTextReader {
  let text: String
  let bytes: [UInt8]
  var position = 0

  init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }

  func failure(_ reason: String, at offset: Int? = nil) -> ConvError {
    let lead = String(decoding: bytes.prefix(offset ?? position), as: UTF8.self)
    return .malformedProblem(text: text, offset: lead.count, reason: reason)
  }

  /// The letters of the sizes of a problem with `rank` spatial axes.
  private static let scalars: [[UInt8]] = (0...3).map { rank in
    let axes = (3 - rank)..<3
    return Array("nckg".utf8) + axes.map { ConvProblem.inputLetters[$0].asciiValue! }
      + axes.map { ConvProblem.filterLetters[$0].asciiValue! }
  }
  private static let lists = Array("upl".utf8)

  mutating func problem() throws -> ConvProblem {
    let rank = try kind()
    let firstAxis = 3 - rank
    let scalars = Self.scalars[rank]
    // By ASCII code.
    var numbers = [Int?](repeating: nil, count: 128)
    var lists = [[Int]](repeating: [], count: 128)
    while position < bytes.count {
      let letter = bytes[position]
      let start = position
      let isScalar = scalars.contains(letter)
      guard isScalar || Self.lists.contains(letter) else {
        let names = (scalars + Self.lists).map { String(UnicodeScalar($0)) }.joined(separator: " ")
        let found = String(decoding: bytes[position...], as: UTF8.self).prefix(1)
        throw failure("unexpected '\(found)' in a \(rank)-D problem; the letters are \(names)")
      }
      guard numbers[Int(letter)] == nil, lists[Int(letter)].isEmpty else {
        throw failure("'\(UnicodeScalar(letter))' is given twice")
      }
      position += 1
      if isScalar {
        numbers[Int(letter)] = try number(after: letter)
      } else {
        lists[Int(letter)] = try list(after: letter, rank: rank, start: start)
      }
    }
    // The batch and the groups, at places 0 and 3, need not be given.
    for letter in scalars[1...2] + scalars[4...] where numbers[Int(letter)] == nil {
      throw failure("'\(UnicodeScalar(letter))' is missing")
    }
    func size(_ letter: Character) -> Int? { numbers[Int(letter.asciiValue!)] }
    var input = Extent(w: 1), filter = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
    var before = Extent(d: 0, h: 0, w: 0), after = Extent(d: 0, h: 0, w: 0)
    let u = lists[Int(UInt8(ascii: "u"))]
    let l = lists[Int(UInt8(ascii: "l"))]
    let p = lists[Int(UInt8(ascii: "p"))]
    for axis in firstAxis..<3 {
      let index = axis - firstAxis
      input[axis] = size(ConvProblem.inputLetters[axis])!
      filter[axis] = size(ConvProblem.filterLetters[axis])!
      if !u.isEmpty { stride[axis] = u.count == 1 ? u[0] : u[index] }
      if !l.isEmpty { dilation[axis] = l.count == 1 ? l[0] : l[index] }
      if !p.isEmpty {
        before[axis] = p.count == 1 ? p[0] : p.count == 2 * rank ? p[2 * index] : p[index]
        after[axis] = p.count == 1 ? p[0] : p.count == 2 * rank ? p[2 * index + 1] : p[index]
      }
    }
    return try ConvProblem(
      spatialRank: rank, n: size("n") ?? 1, c: size("c")!, k: size("k")!, groups: size("g") ?? 1,
      input: input, filter: filter, stride: stride, padding: Padding(before: before, after: after),
      dilation: dilation)
  }

  private mutating func kind() throws -> Int {
    for rank in 1...3 where bytes.starts(with: "conv\(rank)d:".utf8) {
      position = 7
      return rank
    }
    throw failure("a problem begins with conv1d:, conv2d: or conv3d:", at: 0)
  }

  private mutating func number(after letter: UInt8) throws -> Int {
    let start = position
    var value = 0
    while position < bytes.count, (48...57).contains(bytes[position]) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int(bytes[position]) - 48)
      if overflow || carry {
        throw failure("the number after '\(UnicodeScalar(letter))' is too large", at: start)
      }
      value = sum
      position += 1
    }
    if position == start { throw failure("a number is needed after '\(UnicodeScalar(letter))'") }
    return value
  }

  /// One number, one per axis (`2x1`), or for padding one per side (`0,1,0,1`).
  private mutating func list(after letter: UInt8, rank: Int, start: Int) throws -> [Int] {
    let name = UnicodeScalar(letter)
    var values = [try number(after: letter)]
    var separator: UInt8?
    while position < bytes.count, bytes[position] == UInt8(ascii: "x") || bytes[position] == UInt8(ascii: ",")
    {
      let found = bytes[position]
      if let separator, separator != found { throw failure("'x' and ',' are mixed after '\(name)'") }
      separator = found
      position += 1
      values.append(try number(after: letter))
    }
    let perSide = separator == UInt8(ascii: ",")
    if perSide && letter != UInt8(ascii: "p") {
      throw failure("'\(name)' takes one number per axis, as in \(name)2x1", at: start)
    }
    let expected = perSide ? 2 * rank : rank
    guard values.count == 1 || values.count == expected else {
      throw failure("'\(name)' has \(values.count) numbers, 1 or \(expected) are possible", at: start)
    }
    // A 1-D "p2" has one axis and is one number; "p1,2" has two sides.
    return values
  }
}
