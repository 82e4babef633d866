import ConvCore

/// Reads one problem in the descriptor language of oneDNN's benchdnn: `mb2ic64ih56oc64oh56kh3ph1n"res2*3"`.
///
/// `mb` defaults to 2, `g` to 1, strides to 1, dilations to 0 (dense); underscores mean nothing. An axis is there if one of its sizes,
/// a dilation, a stride above 1 or a padding above 0 is given. Only heights given: the problem is square; only widths: 1-D; only
/// depths: cubic. `oh` is deduced from `ph` (0 where it is left out too); with `oh` and no `ph` the padding is deduced and with both, the
/// padding on the far side follows: (o − 1)·s + (k − 1)·(d + 1) + 1 − i − p. Where that is negative the last rows of the input are
/// not read: it becomes 0 if the output stays the same. `ic` and `oc` are totals over the groups.
struct BenchdnnReader {
  private let bytes: ArraySlice<UInt8>
  private var position: Int
  /// Value and position by key: `g`, `mb`, `ic`, `oc`, then three per letter of `letters`; −1 is not given.
  private var values = [(value: Int, offset: Int)](repeating: (-1, 0), count: 22)

  /// The letters of sizes that exist per axis: input, output, filter, stride, padding, dilation.
  private enum Letter: Int, CaseIterable {
    case input, output, filter, stride, padding, dilation

    init?(_ byte: UInt8) {
      switch byte {
      case UInt8(ascii: "i"): self = .input
      case UInt8(ascii: "o"): self = .output
      case UInt8(ascii: "k"): self = .filter
      case UInt8(ascii: "s"): self = .stride
      case UInt8(ascii: "p"): self = .padding
      case UInt8(ascii: "d"): self = .dilation
      default: return nil
      }
    }

    var name: String { ["i", "o", "k", "s", "p", "d"][rawValue] }
  }

  private static let group = 0, batch = 1, inputChannels = 2, outputChannels = 3
  private static let axisNames = ["d", "h", "w"]

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  private func failure(_ reason: String, at offset: Int? = nil) -> ConvError {
    .malformedProblem(
      text: String(decoding: bytes, as: UTF8.self),
      offset: String(decoding: bytes[..<(offset ?? position)], as: UTF8.self).count, reason: reason)
  }

  /// What stands after `n`, once `problem` has been called.
  private(set) var label = ""
  /// Whether the problem gives the number of groups.
  var statesGroups: Bool { given(Self.group) != nil }

  mutating func problem() throws -> BenchmarkProblem {
    label = try readFields()
    let rank = axisIsGiven(0) ? 3 : axisIsGiven(1) ? 2 : 1
    if rank == 3 && axisIsGiven(1) != axisIsGiven(2) {
      throw failure(
        "a 3-D problem gives the sizes of both height and width or of neither", at: bytes.startIndex)
    }
    func required(_ key: Int, _ name: String) throws -> Int {
      guard values[key].value >= 0 else { throw failure("'\(name)' is missing", at: bytes.startIndex) }
      return values[key].value
    }
    let ic = try required(Self.inputChannels, "ic")
    let oc = try required(Self.outputChannels, "oc")
    var input = Extent(w: 1), filter = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
    var before = Extent(d: 0, h: 0, w: 0), after = Extent(d: 0, h: 0, w: 0)
    for axis in (3 - rank)..<3 {
      let resolved = try resolve(axis: axis, rank: rank)
      input[axis] = resolved.input
      filter[axis] = resolved.filter
      stride[axis] = resolved.stride
      dilation[axis] = resolved.dilation
      before[axis] = resolved.before
      after[axis] = resolved.after
    }
    let problem = try ConvProblem(
      spatialRank: rank, n: given(Self.batch) ?? 2, c: ic, k: oc, groups: given(Self.group) ?? 1,
      input: input, filter: filter, stride: stride, padding: Padding(before: before, after: after),
      dilation: dilation)
    let (name, multiplicity) = try ProblemFile.splitMultiplicity(label)
    return BenchmarkProblem(problem, name: name, multiplicity: multiplicity)
  }

  /// Fills `values` and returns what stands after `n`.
  private mutating func readFields() throws -> String {
    while position < bytes.endIndex {
      let byte = bytes[position]
      if byte == UInt8(ascii: "_") {
        position += 1
        continue
      }
      let start = position
      if byte == UInt8(ascii: "n") { return String(decoding: bytes[(start + 1)...], as: UTF8.self) }
      guard let (key, length) = key(byte, start + 1 < bytes.endIndex ? bytes[start + 1] : 0) else {
        let found = String(decoding: bytes[start...].prefix(8), as: UTF8.self).prefix(2)
        throw failure(
          "unexpected '\(found)'; a problem is conv2d:… or benchdnn's mb g ic oc id ih iw od oh ow kd kh kw …"
        )
      }
      let name = String(decoding: bytes[start..<(start + length)], as: UTF8.self)
      guard values[key].value < 0 else { throw failure("'\(name)' is given twice") }
      position += length
      values[key] = (try number(after: name), start)
    }
    return ""
  }

  /// The index in `values` and the length of the key that begins with these two bytes.
  private func key(_ first: UInt8, _ second: UInt8) -> (Int, Int)? {
    switch (first, second) {
    case (UInt8(ascii: "m"), UInt8(ascii: "b")): return (Self.batch, 2)
    case (UInt8(ascii: "i"), UInt8(ascii: "c")): return (Self.inputChannels, 2)
    case (UInt8(ascii: "o"), UInt8(ascii: "c")): return (Self.outputChannels, 2)
    case (UInt8(ascii: "g"), _): return (Self.group, 1)
    default: break
    }
    guard let letter = Letter(first) else { return nil }
    switch second {
    case UInt8(ascii: "d"): return (index(letter, 0), 2)
    case UInt8(ascii: "h"): return (index(letter, 1), 2)
    case UInt8(ascii: "w"): return (index(letter, 2), 2)
    default: return nil
    }
  }

  private func index(_ letter: Letter, _ axis: Int) -> Int { 4 + 3 * letter.rawValue + axis }

  private func given(_ key: Int) -> Int? { values[key].value < 0 ? nil : values[key].value }

  private mutating func number(after key: String) throws -> Int {
    let start = position
    var value = 0
    while position < bytes.endIndex, (48...57).contains(bytes[position]) {
      value = value * 10 + Int(bytes[position]) - 48
      guard value <= 1 << 40 else { throw failure("the number after '\(key)' is too large", at: start) }
      position += 1
    }
    guard position > start else { throw failure("a number is needed after '\(key)'") }
    return value
  }

  /// Whether the problem has this axis by itself. What is written but says the default (`sw1`, `pw0`) does not make it one.
  private func axisIsGiven(_ axis: Int) -> Bool {
    Letter.allCases.contains { letter in
      let value = values[index(letter, axis)].value
      return letter == .stride ? value >= 0 && value != 1 : value > 0
    }
  }

  /// A size of one axis; where no axis below is given at all, it is the one above's (square and cubic problems).
  private func field(_ letter: Letter, axis: Int, rank: Int) -> (value: Int, offset: Int)? {
    let own = values[index(letter, axis)]
    if axis == 3 - rank || axisIsGiven(axis) { return own.value < 0 ? nil : own }
    let above = values[index(letter, 3 - rank)]
    return above.value < 0 ? nil : above
  }

  private func resolve(
    axis: Int, rank: Int
  ) throws -> (input: Int, filter: Int, stride: Int, dilation: Int, before: Int, after: Int) {
    let letter = Self.axisNames[axis]
    let start = bytes.startIndex
    guard let input = field(.input, axis: axis, rank: rank) else {
      throw failure("'i\(letter)' is missing", at: start)
    }
    guard let filter = field(.filter, axis: axis, rank: rank) else {
      throw failure("'k\(letter)' is missing", at: start)
    }
    let step = field(.stride, axis: axis, rank: rank)?.value ?? 1
    let dilation = (field(.dilation, axis: axis, rank: rank)?.value ?? 0) + 1
    let padding = field(.padding, axis: axis, rank: rank)
    var output = field(.output, axis: axis, rank: rank)
    // In benchdnn an output of 0 is one that is not given.
    if output?.value == 0 { output = nil }
    guard input.value > 0 else { throw failure("'i\(letter)' is 0, at least 1 is needed", at: input.offset) }
    guard filter.value > 0 else {
      throw failure("'k\(letter)' is 0, at least 1 is needed", at: filter.offset)
    }
    guard step > 0 else { throw failure("the stride 's\(letter)' is 0, at least 1 is needed", at: start) }
    let (reach, overflow) = (filter.value - 1).multipliedReportingOverflow(by: dilation)
    guard !overflow, reach < 1 << 41 else {
      throw failure("the dilated filter's size overflows", at: filter.offset)
    }
    guard let output else {
      let before = padding?.value ?? 0
      return (input.value, filter.value, step, dilation, before, before)
    }
    let (steps, stepOverflow) = (output.value - 1).multipliedReportingOverflow(by: step)
    guard !stepOverflow, steps < 1 << 41 else {
      throw failure("the output's size overflows", at: output.offset)
    }
    let total = steps + reach + 1 - input.value
    let before = padding?.value ?? max(0, total / 2)
    let after = max(0, total - before)
    // A negative far padding leaves input unread, which is fine as long as no further output fits in.
    let produced = (input.value + before + after - reach - 1) / step + 1
    guard input.value + before + after > reach, produced == output.value else {
      throw failure(
        "o\(letter)\(output.value) does not follow from i\(letter)\(input.value), k\(letter)\(filter.value), "
          + "stride \(step), dilation \(dilation - 1) and padding \(before): the output would be \(produced)",
        at: output.offset)
    }
    return (input.value, filter.value, step, dilation, before, after)
  }
}
