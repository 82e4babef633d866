import ConvCore
import Foundation

/// Reads one problem in the descriptor language of oneDNN's benchdnn: `mb2ic64ih56oc64oh56kh3ph1n"res2*3"`.
///
/// `mb` defaults to 2, `g` to 1, strides to 1, dilations to 0 (dense). Only heights given: the problem is square; only
/// widths: 1-D. `oh` is deduced from `ph` (0 where it is left out too); with `oh` and no `ph` the padding is deduced and with
/// both, the padding on the far side follows: (o − 1)·s + (k − 1)·(d + 1) + 1 − i − p. Where that is negative the last rows
/// of the input are not read: it becomes 0 if the output stays the same. `ic` and `oc` are totals over the groups.
struct BenchdnnReader {
  private let text: String
  private let characters: [Character]
  private var position = 0
  private var values: [String: (value: Int, offset: Int)] = [:]

  init(_ text: String) {
    self.text = text
    characters = Array(text)
  }

  private static let keys: [String] =
    ["mb", "ic", "oc"]
    + ["i", "o", "k", "s", "p", "d"].flatMap { letter in ["d", "h", "w"].map { letter + $0 } } + ["g"]

  private func failure(_ reason: String, at offset: Int? = nil) -> ConvError {
    .malformedProblem(text: text, offset: offset ?? position, reason: reason)
  }

  mutating func problem() throws -> BenchmarkProblem {
    let label = try readFields()
    func value(_ key: String) -> Int? { values[key]?.value }
    let hasDepth = ["id", "od", "kd", "pd", "sd", "dd"].contains { values[$0] != nil }
    let hasHeight = hasDepth || ["ih", "oh", "kh", "ph", "sh", "dh"].contains { values[$0] != nil }
    let rank = hasDepth ? 3 : hasHeight ? 2 : 1
    let mb = value("mb") ?? 2
    guard let ic = value("ic") else { throw failure("'ic' is missing", at: 0) }
    guard let oc = value("oc") else { throw failure("'oc' is missing", at: 0) }
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
      spatialRank: rank, n: mb, c: ic, k: oc, groups: value("g") ?? 1, input: input, filter: filter,
      stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
    let (name, multiplicity) = ProblemFile.splitMultiplicity(label)
    return BenchmarkProblem(problem, name: name, multiplicity: multiplicity)
  }

  /// Fills `values` and returns what stands after `n`.
  private mutating func readFields() throws -> String {
    while position < characters.count {
      if characters[position] == "_" {
        position += 1
        continue
      }
      let start = position
      let two = String(characters[start..<min(start + 2, characters.count)])
      let one = String(characters[start])
      guard let key = Self.keys.contains(two) ? two : Self.keys.contains(one) ? one : nil else {
        if one == "n" {
          return String(characters[(start + 1)...]).trimmingCharacters(in: .whitespaces)
        }
        throw failure(
          "unexpected '\(two)'; a problem is conv2d:… or benchdnn's mb g ic oc id ih iw od oh ow kd kh kw …")
      }
      guard values[key] == nil else { throw failure("'\(key)' is given twice") }
      position += key.count
      values[key] = (try number(after: key), start)
    }
    return ""
  }

  private mutating func number(after key: String) throws -> Int {
    let start = position
    var value = 0
    while position < characters.count, let ascii = characters[position].asciiValue, (48...57).contains(ascii)
    {
      value = value * 10 + Int(ascii) - 48
      guard value <= 1 << 40 else { throw failure("the number after '\(key)' is too large", at: start) }
      position += 1
    }
    guard position > start else { throw failure("a number is needed after '\(key)'") }
    return value
  }

  /// A size of one axis; where no axis below is given at all, it is the one above's (square and cubic problems).
  private func field(_ letter: String, axis: Int, rank: Int) -> (value: Int, offset: Int)? {
    let names = ["d", "h", "w"]
    if let own = values[letter + names[axis]] { return own }
    let first = 3 - rank
    for other in stride(from: axis - 1, through: first, by: -1) where other >= first {
      // Only where the whole axis is left out: `ih5iw3` without `kw` is an error.
      let given = ["i", "o", "k", "s", "p", "d"].contains { values[$0 + names[axis]] != nil }
      if given { return nil }
      if let above = values[letter + names[other]] { return above }
    }
    return nil
  }

  private func resolve(
    axis: Int, rank: Int
  ) throws -> (input: Int, filter: Int, stride: Int, dilation: Int, before: Int, after: Int) {
    let letter = ["d", "h", "w"][axis]
    guard let input = field("i", axis: axis, rank: rank) else {
      throw failure("'i\(letter)' is missing", at: 0)
    }
    guard let filter = field("k", axis: axis, rank: rank) else {
      throw failure("'k\(letter)' is missing", at: 0)
    }
    let step = field("s", axis: axis, rank: rank)?.value ?? 1
    let dilation = (field("d", axis: axis, rank: rank)?.value ?? 0) + 1
    let padding = field("p", axis: axis, rank: rank)
    let output = field("o", axis: axis, rank: rank)
    guard input.value > 0 else { throw failure("'i\(letter)' is 0, at least 1 is needed", at: input.offset) }
    guard filter.value > 0 else {
      throw failure("'k\(letter)' is 0, at least 1 is needed", at: filter.offset)
    }
    guard step > 0 else { throw failure("the stride 's\(letter)' is 0, at least 1 is needed", at: 0) }
    let (reach, overflow) = (filter.value - 1).multipliedReportingOverflow(by: dilation)
    guard !overflow, reach < 1 << 41 else {
      throw failure("the dilated filter's size overflows", at: filter.offset)
    }
    guard let output else {
      let before = padding?.value ?? 0
      return (input.value, filter.value, step, dilation, before, before)
    }
    guard output.value > 0 else {
      throw failure("'o\(letter)' is 0, at least 1 is needed", at: output.offset)
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
