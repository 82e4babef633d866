import Foundation

/// A fenced code block of a Markdown page, and what a comment above it says of it: `<!-- sample: continues -->`.
public struct MarkdownSample: Sendable {
  /// What a block is written in; each has its check.
  public enum Language: String, Sendable, CaseIterable {
    /// A whole file: built, and run. One that begins with `// swift-tools-version` is a manifest, which is read.
    case swift
    /// Commands, line by line.
    case sh
    /// What a program prints: nothing to check.
    case text
  }

  /// What is different about a block.
  public enum Mark: String, Sendable, CaseIterable {
    /// It goes on where the page's last Swift block ended.
    case continues
    /// Its lines take too long, or need files that only a reader has: they have to parse.
    case parseOnly = "parse only"
    /// It needs something that only a reader has: it has to compile and link.
    case buildOnly = "build only"
  }

  /// The page's name.
  public let page: String
  /// The line of the fence, from 1.
  public let line: Int
  public let language: Language
  public let mark: Mark?
  /// What stands between the fences.
  public let lines: [String]

  /// `README.md:12`.
  public var place: String { "\(page):\(line)" }
  public var text: String { lines.joined(separator: "\n") + "\n" }
  /// Whether it is a package's manifest.
  public var isManifest: Bool {
    language == .swift && lines.first?.hasPrefix("// swift-tools-version") == true
  }

  /// A page that cannot be read as one with samples.
  public struct Fault: Error, CustomStringConvertible {
    public let description: String
    /// A fault in words.
    public init(description: String) { self.description = description }
  }

  /// All blocks of a page, in their order.
  ///
  /// - Throws: `Fault` for a block without a language or in another one, one without an end, one that nobody would find (indented
  ///   commands), and for marks that are unknown, stand before no block, or fit no block of that language.
  public static func all(in text: String, page: String) throws -> [MarkdownSample] {
    var samples: [MarkdownSample] = []
    var mark: (mark: Mark, line: Int)?
    var open: (language: Language, line: Int, lines: [String])?
    func fault(_ line: Int, _ words: String) -> Fault { Fault(description: "\(page):\(line): \(words)") }
    for (index, line) in text.components(separatedBy: "\n").enumerated() {
      let number = index + 1
      if var block = open {
        if line == "```" {
          try samples.append(sample(block, mark: mark?.mark, after: samples, fault))
          (open, mark) = (nil, nil)
        } else {
          block.lines.append(line)
          open = block
        }
      } else if line.hasPrefix("```") {
        let name = String(line.dropFirst(3))
        guard let language = Language(rawValue: name) else {
          throw fault(number, "a block in '\(name)', which no check knows")
        }
        open = (language, number, [])
      } else if let words = comment(line) {
        guard let known = Mark(rawValue: words) else { throw fault(number, "unknown mark '\(words)'") }
        mark = (known, number)
      } else if line.contains("```") || line.hasPrefix("~~~") {
        throw fault(number, "a fence that does not begin its line")
      } else if line.hasPrefix("    "), isCommand(line) {
        throw fault(number, "an indented command is in no block")
      } else if let mark, !line.isEmpty {
        throw fault(mark.line, "a mark before no block")
      }
    }
    if let open { throw fault(open.line, "a block without an end") }
    if let mark { throw fault(mark.line, "a mark before no block") }
    return samples

    func sample(
      _ block: (language: Language, line: Int, lines: [String]), mark: Mark?, after earlier: [MarkdownSample],
      _ fault: (Int, String) -> Fault
    ) throws -> MarkdownSample {
      let allowed: Language? = mark.map { $0 == .parseOnly ? .sh : .swift }
      if let allowed, allowed != block.language {
        throw fault(block.line, "a block in \(block.language) cannot be marked '\(mark?.rawValue ?? "")'")
      }
      if mark == .continues, !earlier.contains(where: { $0.language == .swift && !$0.isManifest }) {
        throw fault(block.line, "a block that continues none")
      }
      return MarkdownSample(
        page: page, line: block.line, language: block.language, mark: mark, lines: block.lines)
    }
  }

  private static func comment(_ line: String) -> String? {
    guard line.hasPrefix("<!-- sample:"), line.hasSuffix("-->") else { return nil }
    return line.dropFirst(12).dropLast(3).trimmingCharacters(in: .whitespaces)
  }

  private static func isCommand(_ line: String) -> Bool {
    let words = line.split(separator: " ")
    return ["vbench", "make", "swift", "import"].contains(words.first.map(String.init) ?? "")
  }

  /// The programs that a page's Swift blocks make: a block, and those that continue it.
  public static func programs(_ samples: [MarkdownSample]) -> [[MarkdownSample]] {
    var programs: [[MarkdownSample]] = []
    for sample in samples where sample.language == .swift && !sample.isManifest {
      if sample.mark == .continues, !programs.isEmpty {
        programs[programs.count - 1].append(sample)
      } else {
        programs.append([sample])
      }
    }
    return programs
  }

  /// The commands of a block in `sh`, with the numbers of their lines; a backslash at the end joins lines.
  public var commands: [(line: Int, command: ShellCommand)] {
    var result: [(Int, ShellCommand)] = []
    var begun: (line: Int, text: String)?
    for (index, line) in lines.enumerated() {
      let number = begun?.line ?? self.line + 1 + index
      let text = (begun?.text ?? "") + line
      if text.hasSuffix("\\") {
        begun = (number, String(text.dropLast()))
        continue
      }
      begun = nil
      let command = ShellCommand(text)
      if !command.parts.isEmpty { result.append((number, command)) }
    }
    return result
  }
}

/// A line of a shell as far as samples have them: words, quotes, comments, variables before a command, pipes and redirections.
public struct ShellCommand: Sendable {
  /// The line as it stands.
  public let text: String
  /// The words of each simple command in it; neither variables before it nor where its output goes.
  public let parts: [[String]]

  /// Takes a line apart.
  public init(_ text: String) {
    self.text = text
    var parts: [[String]] = [[]]
    var word: String?
    var quote: Character?
    var skipsWord = false
    func end() {
      guard let done = word else { return }
      word = nil
      if skipsWord {
        skipsWord = false
      } else if !(parts[parts.count - 1].isEmpty && Self.isAssignment(done)) {
        parts[parts.count - 1].append(done)
      }
    }
    for character in text.replacingOccurrences(of: "2>&1", with: "") {
      if let open = quote {
        if character == open { quote = nil } else { word?.append(character) }
        continue
      }
      switch character {
      case "'", "\"":
        quote = character
        word = word ?? ""
      case " ", "\t": end()
      case "#" where word == nil:
        self.parts = parts.filter { !$0.isEmpty }
        return
      case "|", ";", "&":
        end()
        if !parts[parts.count - 1].isEmpty { parts.append([]) }
      case ">", "<":
        // The number of a stream is no word.
        if word.map({ Int($0) != nil }) == true { word = nil }
        end()
        skipsWord = true
      default: word = (word ?? "") + String(character)
      }
    }
    end()
    self.parts = parts.filter { !$0.isEmpty }
  }

  private static func isAssignment(_ word: String) -> Bool {
    guard let equals = word.firstIndex(of: "="), equals != word.startIndex else { return false }
    return word[..<equals].allSatisfy { $0 == "_" || ($0.isASCII && ($0.isUppercase || $0.isNumber)) }
  }
}

/// The pages whose samples are checked: README.md and those in `Documentation`.
public enum DocumentationPages {
  /// Paths in the checkout.
  public static func all(in checkout: URL) throws -> [String] {
    let pages = try FileManager.default.contentsOfDirectory(
      atPath: checkout.appending(path: "Documentation").path)
    return ["README.md"] + pages.filter { $0.hasSuffix(".md") }.sorted().map { "Documentation/\($0)" }
  }

  /// The samples of a page.
  public static func samples(of page: String, in checkout: URL) throws -> [MarkdownSample] {
    let text = try String(contentsOf: checkout.appending(path: page), encoding: .utf8)
    return try MarkdownSample.all(in: text, page: page)
  }
}
