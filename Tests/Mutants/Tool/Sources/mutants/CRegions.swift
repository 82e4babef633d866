/// The outermost blocks of statements of a C file: bodies of functions, and blocks within the text of macros.
enum CRegions {
  static func of(_ source: [UInt8]) -> [Region] {
    var scanner = Scanner(source: source)
    return scanner.scan()
  }

  private struct Scanner {
    let source: [UInt8]
    var position = 0
    var regions: [Region] = []

    mutating func scan() -> [Region] {
      var start: Int?
      var depth = 0
      var last: UInt8 = 0
      while position < source.count {
        if skipCommentOrLiteral() { continue }
        let byte = source[position]
        switch byte {
        case UInt8(ascii: "#") where isFirstOfLine:
          scanDirective(inBlock: depth > 0)
          continue
        case UInt8(ascii: "{"):
          // After a parenthesis statements follow; after `=` or a name values or members.
          if depth == 0, last == UInt8(ascii: ")") { start = position + 1 }
          depth += 1
        case UInt8(ascii: "}"):
          depth -= 1
          if depth == 0, let begin = start {
            regions.append(Region(range: begin..<position, kind: .block))
            start = nil
          }
        default: break
        }
        if byte > UInt8(ascii: " ") { last = byte }
        position += 1
      }
      return regions
    }

    /// A macro's text is looked at by itself: its outermost blocks that follow a parenthesis or `do`.
    private mutating func scanDirective(inBlock: Bool) {
      var start: Int?
      var depth = 0
      while position < source.count {
        if skipCommentOrLiteral() { continue }
        let byte = source[position]
        if byte == UInt8(ascii: "\n"), source[position - 1] != UInt8(ascii: "\\") { break }
        if byte == UInt8(ascii: "{") {
          if depth == 0, !inBlock, followsStatementHead { start = position + 1 }
          depth += 1
        } else if byte == UInt8(ascii: "}") {
          depth -= 1
          if depth == 0, let begin = start {
            regions.append(Region(range: begin..<position, kind: .block))
            start = nil
          }
        }
        position += 1
      }
    }

    private var followsStatementHead: Bool {
      let blank: Set<UInt8> = [UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\\")]
      let before = source[..<position].reversed().drop { blank.contains($0) }
      return before.first == UInt8(ascii: ")") || before.starts(with: "od".utf8)
    }

    private var isFirstOfLine: Bool {
      source[..<position].reversed().first { $0 != UInt8(ascii: " ") } ?? UInt8(ascii: "\n")
        == UInt8(ascii: "\n")
    }

    private mutating func skipCommentOrLiteral() -> Bool {
      func next(_ offset: Int) -> UInt8 { position + offset < source.count ? source[position + offset] : 0 }
      switch (source[position], next(1)) {
      case (UInt8(ascii: "/"), UInt8(ascii: "/")):
        while position < source.count, source[position] != UInt8(ascii: "\n") { position += 1 }
      case (UInt8(ascii: "/"), UInt8(ascii: "*")):
        position += 2
        while position < source.count,
          !(source[position] == UInt8(ascii: "*") && next(1) == UInt8(ascii: "/"))
        {
          position += 1
        }
        position += 2
      case (let quote, _) where quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'"):
        position += 1
        while position < source.count, source[position] != quote {
          position += source[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        position += 1
      default: return false
      }
      return true
    }
  }
}
