import Foundation

/// Bytes of a source file that a mutant replaces.
struct Edit: Sendable {
  var range: Range<Int>
  var replacement: [UInt8]

  func applied(to source: [UInt8]) -> [UInt8] {
    Array(source[..<range.lowerBound]) + replacement + source[range.upperBound...]
  }

  /// How much longer the file is afterwards.
  var growth: Int { replacement.count - range.count }
}

extension Mutant.Hunk {
  /// Where the quoted lines stand in a file's text. The new lines get the first old one's indentation.
  func edit(in source: [UInt8]) throws -> Edit {
    let lines = source.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let texts = lines.map { trimmed(String(decoding: $0, as: UTF8.self)) }
    let quoted = old.map(trimmed)
    var start = line ?? 0
    if let anchor {
      guard let line = texts.firstIndex(where: { $0.contains(anchor) }) else {
        throw MutantError.noLines(file: file, anchor)
      }
      start = line + 1
    }
    let places = (start..<max(start, texts.count - quoted.count + 1)).filter {
      texts[$0] == quoted[0] && Array(texts[$0..<($0 + quoted.count)]) == quoted
    }
    guard let place = places.first else { throw MutantError.noLines(file: file, quoted[0]) }
    guard anchor != nil || line != nil || places.count == 1 else {
      throw MutantError.ambiguous(file: file, quoted[0], count: places.count)
    }
    let indentation = String(decoding: lines[place].prefix { $0 == UInt8(ascii: " ") }, as: UTF8.self)
    let last = lines[place + quoted.count - 1]
    var range = lines[place].startIndex..<last.endIndex
    var replacement: [UInt8]
    if new.isEmpty {
      replacement = []
      range = range.lowerBound..<min(range.upperBound + 1, source.count)
    } else {
      replacement = Array(new.map { $0.isEmpty ? "" : indentation + $0 }.joined(separator: "\n").utf8)
    }
    // Only what differs counts, so that a line with a signature and a body changes the one or the other.
    let before = zip(source[range], replacement).prefix { $0 == $1 }.count
    let after = zip(source[range].dropFirst(before).reversed(), replacement.dropFirst(before).reversed())
      .prefix { $0 == $1 }.count
    return Edit(
      range: (range.lowerBound + before)..<(range.upperBound - after),
      replacement: Array(replacement[before..<(replacement.count - after)]))
  }

  private func trimmed(_ line: String) -> String { line.trimmingCharacters(in: .whitespaces) }
}
