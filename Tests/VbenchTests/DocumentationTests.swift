import ArgumentParser
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What README.md, the pages in Documentation and the help texts tell a reader to type. `check-samples` builds and runs what can be.
@Suite struct DocumentationTests {
  /// Pages with links and commands between words; the first of them have samples.
  private static func pages() throws -> [String] {
    try DocumentationPages.all(in: checkout) + [
      "CONTRIBUTING.md", "Reports/README.md", "References/README.md",
    ]
  }

  private static func text(_ page: String) throws -> String {
    try String(contentsOf: checkout.appending(path: page), encoding: .utf8)
  }

  /// Why a command of `vbench` cannot be parsed; nil where it can, or where its help or version is asked for.
  private static func fault(_ words: [String]) -> String? {
    do {
      _ = try Vbench.parseAsRoot(Array(words.dropFirst()))
      return nil
    } catch {
      return Vbench.exitCode(for: error) == .success ? nil : Vbench.fullMessage(for: error)
    }
  }

  private static func faults(_ commands: [ShellCommand]) -> [String] {
    commands.flatMap { command in
      command.parts.filter { $0[0] == "vbench" || $0[0].hasSuffix("/vbench") }
        .compactMap { fault($0).map { "\(command.text): \($0)" } }
    }
  }

  @Test func commandsOfSamplesParse() throws {
    var count = 0
    for page in try DocumentationPages.all(in: checkout) {
      let samples = try DocumentationPages.samples(of: page, in: checkout)
      let commands = samples.filter { $0.language == .sh }.flatMap(\.commands)
      count += commands.count
      #expect(Self.faults(commands.map(\.command)) == [], "\(page)")
    }
    #expect(count > 30, "\(count)")
  }

  /// Commands between words: `vbench run --quick`. One that is only named, `vbench tune`, need not have all that it asks for.
  @Test func commandsInTextParse() throws {
    let names = ["help"] + Vbench.configuration.subcommands.compactMap { $0.configuration.commandName }
    var count = 0
    for page in try Self.pages() {
      let commands = Self.code(in: try Self.text(page)).filter { $0.hasPrefix("vbench ") }.map(
        ShellCommand.init)
      // The name of a command, and nothing else.
      let named = commands.filter { $0.parts[0].count == 2 && names.contains($0.parts[0][1]) }.map(\.text)
      count += commands.count
      #expect(Self.faults(commands.filter { !named.contains($0.text) }) == [], "\(page)")
    }
    #expect(count > 20, "\(count)")
  }

  /// Options that are named by themselves, `--precision`, belong to a command of ours.
  @Test func optionsInTextExist() throws {
    let known = Vbench.configuration.subcommands.map { Vbench.helpMessage(for: $0, columns: 200) }.joined()
    var count = 0
    for page in try DocumentationPages.all(in: checkout) {
      for code in Self.code(in: try Self.text(page)) where code.hasPrefix("--") {
        let option = code.prefix { $0 != " " && $0 != "=" }
        count += 1
        #expect(known.contains(option + " ") || known.contains(option + "\n"), "\(page): \(option)")
      }
    }
    #expect(count > 10, "\(count)")
  }

  /// Lines below EXAMPLE or EXAMPLES, of `vbench help` and of each `vbench help COMMAND`; two blanks end a command.
  @Test func examplesOfHelpParse() throws {
    var count = 0
    for command in [Vbench.self] + Vbench.configuration.subcommands {
      let lines = command.configuration.discussion.components(separatedBy: "\n")
      let start = try #require(lines.firstIndex { ["EXAMPLE", "EXAMPLES"].contains($0) }, "\(command)")
      let examples = lines.dropFirst(start + 1).prefix { $0.hasPrefix("  ") }.map { line in
        ShellCommand(line.dropFirst(2).components(separatedBy: "  ")[0])
      }
      #expect(!examples.isEmpty && examples.allSatisfy { $0.parts.first?.first == "vbench" }, "\(command)")
      #expect(Self.faults(examples) == [], "\(command)")
      count += examples.count
    }
    #expect(count > 50, "\(count)")
  }

  /// `make TARGET`, in samples and between words.
  @Test func targetsOfMakeExist() throws {
    let makefile = try Self.text("Makefile")
    let targets = Set(
      makefile.components(separatedBy: "\n").filter { $0.first?.isLetter == true }
        .map { String($0.prefix { $0 != ":" && $0 != " " }) })
    var count = 0
    for page in try Self.pages() {
      let text = try Self.text(page)
      let samples =
        page.hasPrefix("Doc") || page == "README.md" ? try MarkdownSample.all(in: text, page: page) : []
      let commands =
        samples.filter { $0.language == .sh }.flatMap(\.commands).map(\.command)
        + Self.code(in: text).map(ShellCommand.init)
      for words in commands.flatMap(\.parts)
      where words[0] == "make" && words.dropFirst().first?.first?.isLetter == true {
        count += 1
        #expect(targets.contains(words[1]), "\(page): make \(words[1])")
      }
    }
    #expect(count > 10, "\(count)")
  }

  /// Links to files and to headings lead somewhere.
  @Test func linksLeadSomewhere() throws {
    var count = 0
    for page in try Self.pages() {
      let folder = checkout.appending(path: page).deletingLastPathComponent()
      for link in Self.links(in: try Self.text(page)) where !link.contains("://") {
        count += 1
        let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(
          String.init)
        let target = parts[0].isEmpty ? checkout.appending(path: page) : folder.appending(path: parts[0])
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page): \(link)")
        if parts.count > 1, target.pathExtension == "md" {
          let headings = Self.anchors(try String(contentsOf: target, encoding: .utf8))
          #expect(headings.contains(parts[1]), "\(page): \(link)")
        }
      }
    }
    #expect(count > 30, "\(count)")
  }

  /// A page that is read in a minute: half of what it was before there was a folder of pages.
  @Test func theREADMEIsShort() throws {
    #expect(try Self.text("README.md").components(separatedBy: "\n").count <= 141)
  }

  // MARK: What the checks themselves find

  @Test(arguments: [
    ("```\nvbench list\n```", "a block in ''"), ("```bash\nvbench list\n```", "a block in 'bash'"),
    ("```sh\nvbench list", "a block without an end"),
    ("  ```sh\nvbench list\n  ```", "does not begin its line"),
    ("~~~sh\nvbench list\n~~~", "does not begin its line"), ("a\n\n    vbench list\n", "is in no block"),
    ("<!-- sample: skipped -->\n```sh\n```", "unknown mark 'skipped'"),
    ("<!-- sample: parse only -->\nwords\n```sh\n```", "before no block"),
    ("<!-- sample: parse only -->", "before no block"),
    ("<!-- sample: build only -->\n```sh\n```", "cannot be marked"),
    ("<!-- sample: parse only -->\n```swift\n```", "cannot be marked"),
    ("<!-- sample: continues -->\n```swift\n```", "continues none"),
    (
      "```swift\n// swift-tools-version: 6.1\n```\n<!-- sample: continues -->\n```swift\n```",
      "continues none"
    ),
  ]) func faultsOfPages(_ text: String, _ words: String) {
    #expect {
      try MarkdownSample.all(in: text, page: "P.md")
    } throws: { "\($0)".hasPrefix("P.md:") && "\($0)".contains(words) }
  }

  @Test func blocksBecomePrograms() throws {
    let text = """
      ```swift
      let a = 1
      ```
      words
      <!-- sample: continues -->

      ```swift
      print(a)
      ```
      ```text
      1
      ```
      ```swift
      // swift-tools-version: 6.1
      ```
      <!-- sample: build only -->
      ```swift
      let b = 2
      ```
      """
    let samples = try MarkdownSample.all(in: text, page: "P.md")
    #expect(samples.map(\.place) == ["P.md:1", "P.md:7", "P.md:10", "P.md:13", "P.md:17"])
    #expect(MarkdownSample.programs(samples).map { $0.map(\.line) } == [[1, 7], [17]])
    #expect(samples.map(\.isManifest) == [false, false, false, true, false])
    #expect(samples[1].text == "print(a)\n" && samples[4].mark == .buildOnly)
  }

  @Test func linesBecomeCommands() throws {
    let lines = """
      # a comment
      VBENCH_ISA=avx2 vbench run --match 'a|b c' "x # y"  # words

      vbench diff a b --threshold 5% > table.txt 2>&1 | head -3 && vbench list suites 2> /dev/null
      vbench run \\
        --quick
      """
    let samples = try MarkdownSample.all(in: "```sh\n\(lines)\n```", page: "P.md")
    let commands = try #require(samples.first).commands
    #expect(commands.map(\.line) == [3, 5, 6])
    #expect(
      commands.map(\.command.parts) == [
        [["vbench", "run", "--match", "a|b c", "x # y"]],
        [["vbench", "diff", "a", "b", "--threshold", "5%"], ["head", "-3"], ["vbench", "list", "suites"]],
        [["vbench", "run", "--quick"]],
      ])
  }

  @Test func faultsOfCommands() {
    #expect(Self.faults([ShellCommand("vbench list suites --format csv")]) == [])
    #expect(Self.faults([ShellCommand("vbench --version; vbench help run")]) == [])
    for line in [
      "vbench lists suites", "vbench run --sweet resnet50", "vbench list", "vbench list suites networks",
      "cat a | .build/release/vbench run --visits",
    ] { #expect(Self.faults([ShellCommand(line)]).count == 1, "\(line)") }
  }

  // MARK: Reading Markdown

  /// What stands between single backticks, outside of blocks, on a line or over two.
  private static func code(in text: String) -> [String] {
    plain(text).components(separatedBy: "\n\n").flatMap { paragraph in
      paragraph.replacingOccurrences(of: "\n", with: " ").components(separatedBy: "`").enumerated()
        .filter { $0.offset % 2 == 1 }.map { $0.element.trimmingCharacters(in: .whitespaces) }
    }
  }

  /// The page without its blocks.
  private static func plain(_ text: String) -> String {
    var isBlock = false
    return text.components(separatedBy: "\n").filter { line in
      if line.hasPrefix("```") { isBlock.toggle() }
      return !isBlock && !line.hasPrefix("```")
    }.joined(separator: "\n")
  }

  /// Targets of `[…](target)`.
  private static func links(in text: String) -> [String] {
    plain(text).components(separatedBy: "](").dropFirst().map { String($0.prefix { $0 != ")" }) }
  }

  /// The names under which headings are found.
  private static func anchors(_ text: String) -> Set<String> {
    Set(
      plain(text).components(separatedBy: "\n").filter { $0.hasPrefix("#") }.map { line in
        String(
          line.drop { $0 == "#" || $0 == " " }.lowercased().map { $0 == " " ? "-" : $0 }
            .filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
      })
  }
}
