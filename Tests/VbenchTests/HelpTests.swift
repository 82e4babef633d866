import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What help texts say of options, the environment and exit codes.
@Suite struct HelpTests {
  /// An option or argument that takes a value, as the parser describes it.
  struct Option {
    let command, name, unit, help: String
    let standard: String?
    let isArgument, isRepeated, isOptional, hasCompletion: Bool
  }

  /// Those of all commands but `help`.
  static func options() throws -> [Option] {
    let text = try CommandLineRunner.run(["--experimental-dump-help"]).output
    let root = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let commands = try #require((root["command"] as? [String: Any])?["subcommands"] as? [[String: Any]])
    var options: [Option] = []
    for command in commands {
      let name = try #require(command["commandName"] as? String)
      if name == "help" { continue }
      for argument in command["arguments"] as? [[String: Any]] ?? []
      where argument["kind"] as? String != "flag" {
        options.append(
          Option(
            command: name,
            name: (argument["preferredName"] as? [String: Any])?["name"] as? String ?? "",
            unit: argument["valueName"] as? String ?? "", help: argument["abstract"] as? String ?? "",
            standard: argument["defaultValue"] as? String,
            isArgument: argument["kind"] as? String == "positional",
            isRepeated: argument["isRepeating"] as? Bool ?? false,
            isOptional: argument["isOptional"] as? Bool ?? false,
            hasCompletion: argument["completionKind"] != nil))
      }
    }
    #expect(options.count > 150, "\(options.count) options")
    return options
  }

  /// A default, or what happens without a value.
  @Test func everyOptionSaysItsDefault() throws {
    let sayings = ["if left out", "(default: ", "without ", "in the place of", "is needed", "needed unless"]
    for option in try Self.options() where option.isOptional && option.standard == nil && !option.isRepeated {
      #expect(
        sayings.contains { option.help.lowercased().contains($0) },
        "\(option.command) --\(option.name): \(option.help)")
    }
  }

  /// Values are of a kind that says their unit, not of the option's own name.
  @Test func everyOptionSaysItsUnit() throws {
    let units: Set = [
      "list", "name", "engine", "dir", "file", "name|file", "name:sizes", "regex", "core", "cmd", "state",
      "problem", "count", "images", "seconds", "size", "percentage", "number", "seed",
    ]
    for option in try Self.options() where !option.isArgument {
      #expect(units.contains(option.unit), "\(option.command) --\(option.name) <\(option.unit)>")
      #expect(!option.help.isEmpty, "\(option.command) --\(option.name)")
    }
  }

  /// Every exit code that the commands know.
  @Test func exitCodes() throws {
    let help = try CommandLineRunner.run(["--help"]).output
    let start = try #require(help.range(of: "EXIT CODES")?.upperBound)
    let end = try #require(help.range(of: "ENVIRONMENT")?.lowerBound)
    let numbers = help[start..<end].split { !$0.isNumber }.compactMap { Int32($0) }
    let source = try InputFile.text(of: checkout.path + "/Sources/VbenchCLI/SupportExitStatus.swift")
    let known = source.matches(of: #/ExitStatus\(rawValue: (\d+)\)/#).compactMap { Int32($0.output.1) }
    #expect(known.count >= 11 && known.sorted() == numbers.sorted(), "\(numbers), \(known)")
  }

  /// Every variable that the sources read from the environment.
  @Test func environment() throws {
    let help = try CommandLineRunner.run(["--help"]).output
    let sources = checkout.path + "/Sources"
    var names: Set<String> = []
    for path in try FileManager.default.subpathsOfDirectory(atPath: sources)
    where path.hasSuffix(".swift") || path.hasSuffix(".c") {
      let text = try InputFile.text(of: "\(sources)/\(path)")
      guard text.contains("environment") || text.contains("getenv") else { continue }
      names.formUnion(text.matches(of: #/"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)"/#).map { String($0.output.1) })
    }
    let variables = names.filter { $0.contains("_") || ["TERM", "HOME"].contains($0) }
    #expect(variables.isSuperset(of: ["VBENCH_ISA", "VBENCH_REFERENCES", "NO_COLOR", "XDG_CACHE_HOME"]))
    for name in variables.sorted() { #expect(help.contains(name), "\(name) is not in the help") }
  }
}
