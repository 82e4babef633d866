import ConvCore

/// Makes other bytes and arguments of given ones, by a sequence of random numbers.
struct Mutator {
  var random: PhiloxGenerator
  /// Names of options and their values, which are put among the arguments.
  let options: [String]

  /// What readers take for numbers, at and beyond the limits of their types; and what is no number.
  static let numbers = [
    "0", "1", "-1", "2", "7", "255", "65536", "2147483647", "2147483648", "4294967296", "1099511627776",
    "3037000500", "4611686018427387904", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "18446744073709551616", "1e308", "-1e308", "1e309", "1e-320", "0.5", "nan", "inf",
    "-inf", "1e", "0x10", "٣", "",
  ]
  /// What separates in the languages that are read, and what has a meaning in one of them.
  static let tokens = [
    ",", "\"", "\"\"", "'", "\n", "\r\n", "\r", "\t", "\0", ";", ":", "*", "?", "%", "{", "}", "[", "]", "(",
    ")", "(a|a)*b", "\\", "#", "@", "--", "-", "=", "\u{FEFF}", "é", "\u{301}", "😀", "\u{1B}[2J", "null",
    "true", "conv2d:", "n1", "g0", "mb1", "p1", "u2", "a*3", "t",
  ]

  mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
  mutating func one<T>(of values: [T]) -> T { values[below(values.count)] }

  /// One to three changes, one after the other; mostly one.
  mutating func mutated(_ bytes: [UInt8], others: [[UInt8]]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...below([1, 1, 3][below(3)]) { change(&bytes, others: others) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8], others: [[UInt8]]) {
    let place = below(bytes.count + 1)
    let end = min(bytes.count, place + 1 + below([1, 4, 16, 256][below(4)]))
    switch below(11) {
    case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(below(8))
    case 1 where place < bytes.count: bytes[place] = UInt8(below(256))
    case 2: bytes.insert(contentsOf: one(of: Self.tokens).utf8, at: place)
    case 3: bytes.removeSubrange(place..<end)
    case 4: bytes.insert(contentsOf: bytes[place..<end], at: place)
    case 5: bytes.removeSubrange(place...)
    case 6, 7, 8: replaceNumber(in: &bytes, from: place)
    case 9: swapLines(in: &bytes)
    default:
      let other = one(of: others)
      guard !other.isEmpty else { return }
      let start = below(other.count)
      bytes.replaceSubrange(place..<end, with: other[start..<min(other.count, start + 1 + below(256))])
    }
  }

  /// The first run of digits at or behind `place` becomes one of `numbers`.
  private mutating func replaceNumber(in bytes: inout [UInt8], from place: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    guard let start = bytes[place...].firstIndex(where: isDigit) else { return }
    let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    bytes.replaceSubrange(start..<end, with: one(of: Self.numbers).utf8)
  }

  /// Swaps two lines, or repeats one up to a thousand times.
  private mutating func swapLines(in bytes: inout [UInt8]) {
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
    let (a, b) = (below(lines.count), below(lines.count))
    if below(2) == 0 {
      lines.swapAt(a, b)
    } else {
      lines.insert(contentsOf: Array(repeating: lines[a], count: [1, 10, 1000][below(3)]), at: b)
    }
    bytes = Array(lines.joined(separator: [UInt8(ascii: "\n")]))
  }

  /// One change of the arguments: the bytes of one, another place, one more, one less, an option and a value.
  mutating func mutated(_ arguments: [String]) -> [String] {
    var arguments = arguments
    let place = below(arguments.count + 1)
    switch below(6) {
    case 0, 1, 2:
      guard place < arguments.count else { return arguments + [one(of: Self.numbers)] }
      let others = arguments.map { Array($0.utf8) }
      let bytes = mutated(others[place], others: others)
      // An argument ends at a zero, and the system starts no program with one above 128 KiB.
      arguments[place] = String(decoding: bytes.filter { $0 != 0 }.prefix(40_000), as: UTF8.self)
    case 3: arguments.insert(contentsOf: [one(of: options), one(of: Self.numbers)], at: place)
    case 4: arguments.insert(one(of: options), at: place)
    default:
      if place < arguments.count { arguments.remove(at: place) }
    }
    return arguments
  }
}
