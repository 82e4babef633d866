import ConvCore
import Foundation

/// Arguments from files: `@FILE` on the command line stands for the words of that file.
///
/// Words are separated by blanks and line ends, as in a shell: `'…'` is taken as it stands, in `"…"` and outside of quotes `\` protects
/// the next character, `#` at the beginning of a word comments the rest of the line out. A word `@FILE` (not quoted) reads
/// another file, relative to the folder of the one that names it. `@@word` is the word `@word`; behind `--` nothing is read.
enum ArgumentFile {
  /// Largest file that is read, how many bytes all together may have, how often files are read and how deep they may name each
  /// other: one that holds nothing but two names of another, and so on, is read without an end that anybody lives to see.
  static let largestByteCount = 1 << 20
  static let byteLimit = 8 << 20
  static let fileLimit = 10_000
  static let deepestNesting = 64
  /// Arguments of a command, bytes of each, and characters of an option's name: the parser's time grows with the square of the first,
  /// and it compares a name that it does not know with all others.
  static let argumentLimit = 4_000
  static let largestArgument = 1 << 16
  static let longestName = 200

  /// What has been read.
  private struct Expansion {
    var arguments: [String] = []
    var files = 0
    var bytes = 0
  }

  /// The arguments of this process.
  ///
  /// - Throws: `UsageError` for one that is not UTF-8 text: as text it would name another file.
  static func ofProcess() throws -> [String] {
    try (0..<Int(CommandLine.argc)).dropFirst().compactMap { index in
      guard let argument = CommandLine.unsafeArgv[index] else { return nil }
      if let text = String(validatingCString: argument) { return text }
      let bytes = UnsafeBufferPointer(start: argument, count: strlen(argument)).map(UInt8.init(bitPattern:))
      throw UsageError(
        "argument \(index) is not UTF-8 text: \(QuotedText.bytes(bytes)); a file of such a name needs another one, or a link to it"
      )
    }
  }

  /// The arguments with those of files in their places.
  ///
  /// - Throws: `FileError.missingInput`, `.malformed` with the place: quotes that are not closed, a file that includes itself;
  ///   `UsageError` for more or longer arguments than can be meant.
  static func expanded(_ arguments: [String]) throws -> [String] {
    var result = Expansion()
    for (index, argument) in arguments.enumerated() {
      if argument == "--" {
        result.arguments += arguments[index...]
        break
      }
      if argument.hasPrefix("@@") {
        result.arguments.append(String(argument.dropFirst()))
      } else if argument.hasPrefix("@"), argument.count > 1 {
        try read(String(argument.dropFirst()), from: nil, open: [], into: &result)
      } else {
        result.arguments.append(argument)
      }
    }
    try checkSizes(result.arguments)
    return result.arguments
  }

  /// Refuses what keeps the parser of arguments busy.
  private static func checkSizes(_ arguments: [String]) throws {
    guard arguments.count <= argumentLimit else {
      throw UsageError("the command has \(arguments.count) arguments, at most \(argumentLimit) are read")
    }
    var isOption = true
    for argument in arguments {
      if argument == "--" { isOption = false }
      guard argument.utf8.count <= largestArgument else {
        throw UsageError(
          "the argument \(quoting: argument) has \(argument.utf8.count) bytes, at most \(largestArgument) are read"
        )
      }
      let name = argument.prefix { $0 != "=" }
      if isOption, argument.hasPrefix("-"), name.utf8.count > longestName {
        throw UsageError("unknown option \(quoting: name)")
      }
    }
  }

  /// Appends the words of a file.
  private static func read(
    _ path: String, from place: String?, open: [String], into result: inout Expansion
  ) throws {
    result.files += 1
    guard result.files <= fileLimit else {
      throw FileError.malformed(path: path, reason: "more than \(fileLimit) files are read")
    }
    guard open.count < deepestNesting else {
      throw FileError.malformed(path: path, reason: "files name each other more than \(deepestNesting) deep")
    }
    let identity = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    guard !open.contains(identity) else {
      throw FileError.malformed(
        path: path, reason: "includes itself\(place.map { ", through \(QuotedText.shortened($0))" } ?? "")")
    }
    let text: String
    do {
      text = try InputFile.text(of: path, limit: largestByteCount)
    } catch FileError.missingInput(let path, let reason) {
      let named =
        place.map { "named in \(QuotedText.shortened($0))" }
        ?? "named on the command line as @\(QuotedText.shortened(path))"
      throw FileError.missingInput(path: path, reason: "\(reason); \(named)")
    }
    result.bytes += text.utf8.count
    guard result.bytes <= byteLimit else {
      throw FileError.malformed(path: path, reason: "more than \(byteLimit) bytes of argument files are read")
    }
    for word in try words(text, path: path) {
      guard result.arguments.count < argumentLimit else {
        throw FileError.malformed(path: path, reason: "more than \(argumentLimit) arguments come from files")
      }
      guard word.isFile else {
        result.arguments.append(word.text)
        continue
      }
      let folder = (path as NSString).deletingLastPathComponent
      let inner = String(word.text.dropFirst())
      let full = inner.hasPrefix("/") || folder.isEmpty ? inner : folder + "/" + inner
      try read(
        full, from: "\(path), line \(word.line)", open: open + [identity], into: &result)
    }
  }

  /// One word of a file.
  struct Word: Equatable {
    var text: String
    var line: Int
    /// Whether it names a file to be read: it begins with `@`, not quoted.
    var isFile = false
  }

  /// The words of a text.
  static func words(_ text: String, path: String) throws -> [Word] {
    var result: [Word] = []
    var current: Word?
    var line = 1
    var quote: (mark: Character, line: Int)?
    var characters = text.makeIterator()
    func append(_ character: Character) {
      current = current ?? Word(text: "", line: line)
      current!.text.append(character)
    }
    while let character = characters.next() {
      if character.isNewline { line += 1 }
      if character == "\\", quote?.mark != "'" {
        guard let next = characters.next() else {
          throw FileError.malformed(path: path, reason: "line \(line): nothing follows the last \\")
        }
        if next.isNewline { line += 1 } else { append(next) }
      } else if let open = quote {
        if character == open.mark { quote = nil } else { append(character) }
      } else if character == "'" || character == "\"" {
        current = current ?? Word(text: "", line: line)
        quote = (character, line)
      } else if character.isWhitespace {
        if let word = current { result.append(word) }
        current = nil
      } else if character == "#", current == nil {
        while let next = characters.next() {
          if next.isNewline {
            line += 1
            break
          }
        }
      } else {
        if character == "@", current == nil { current = Word(text: "", line: line, isFile: true) }
        append(character)
      }
    }
    if let quote {
      throw FileError.malformed(
        path: path, reason: "line \(quote.line): the quote \(quote.mark) is not closed")
    }
    if let word = current { result.append(word) }
    return result.map { word in
      // `@@word` is a word, and so is a single @.
      guard word.isFile, word.text.hasPrefix("@@") || word.text == "@" else { return word }
      return Word(text: word.text == "@" ? "@" : String(word.text.dropFirst()), line: word.line)
    }
  }
}
