import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What options mean, and that they are looked at whether something runs or is listed.
@Suite struct OptionTests {
  @Test func percentages() throws {
    func parse(_ text: String) throws -> Double { try Percentage.parse(text, option: "x") }
    for (text, value) in [
      ("5%", 0.05), ("5 %", 0.05), ("0.05", 0.05), ("0", 0), ("0%", 0), ("100%", 1), ("150%", 1.5),
      ("0.5", 0.5), ("1e-4", 1e-4), ("0.01%", 1e-4),
    ] { #expect(try abs(parse(text) - value) < 1e-15, "\(text)") }
    for text in ["5", "1", "1.5", "3", "1e9"] {
      #expect {
        try parse(text)
      } throws: {
        "\($0)".contains("without a unit: write \(text)% for \(text) percent, or a fraction below 1")
      }
    }
    for text in ["", "%", "five", "-5%", "-0.05", "nan", "inf%", "5%%", "5 percent", "1000%"] {
      #expect(throws: UsageError.self, "\(text)") { try parse(text) }
    }
  }

  /// Every option that takes one refuses the same, and its help says the rule.
  @Test(arguments: [
    "run --list --precision", "tune vgg16 --list --precision", "tune vgg16 --list --max-error",
    "diff before after --threshold",
  ])
  func percentagesOfOptions(_ command: String) throws {
    let words = command.split(separator: " ").map(String.init)
    let outcome = try CommandLineRunner.run(words + ["3"])
    #expect(outcome.status == 64 && outcome.error.contains("write 3% for 3 percent"), "\(outcome)")
    let help = try CommandLineRunner.run([words[0], "--help"]).output.split { " \n".contains($0) }
    #expect(help.joined(separator: " ").contains("a fraction below 1 as in"), "\(words[0])")
  }

  /// Commands whose options are wrong, behind the exit code that they have with and without `--list`. FILE is a file that is neither
  /// JSON nor a folder, nothing is at NONE and NEVER.
  private static let wrong = """
    64 run PROBLEM --precision 3
    64 run PROBLEM --precision 0
    64 run PROBLEM --rounds 0
    64 run PROBLEM --visits 0
    64 run PROBLEM --budget 0
    64 run PROBLEM --threads 0
    64 run PROBLEM --threads 1,two
    64 run PROBLEM --cache hot
    64 run PROBLEM --workspace much
    64 run PROBLEM --backends winogard
    64 run PROBLEM --baseline nobody
    64 run PROBLEM --fallback nobody
    64 run PROBLEM --data odd
    64 run PROBLEM --openblas-core Nonesuch
    64 run PROBLEM --output there --resume here
    73 run PROBLEM --output FILE
    73 run PROBLEM --junit FILE/x
    66 run PROBLEM --resume NONE
    66 run PROBLEM --plan NONE
    66 run PROBLEM --profile NONE
    66 run --network lenet --dataset NONE
    66 run --network lenet --references NONE
    64 tune vgg16 -o NEVER --backends auto
    64 tune vgg16 -o NEVER --cache warm,cold
    64 tune vgg16 -o NEVER --visits 2
    64 tune vgg16 -o NEVER --max-error 5
    64 tune vgg16 -o NEVER --data odd
    65 tune vgg16 -o FILE
    73 tune vgg16 -o FILE/x
    66 tune vgg16 -o NEVER --profile NONE
    64 explain vgg16 --budget 0
    64 explain vgg16 --rounds 1
    64 explain vgg16 --workspace much
    64 explain vgg16 --output NEVER
    64 explain vgg16 --audit --backends im2col
    73 explain vgg16 --audit --output FILE
    66 explain vgg16 --profile NONE
    64 compare vgg16 -o NEVER --rounds 0
    64 compare vgg16 -o NEVER --seconds 0
    64 compare vgg16 -o NEVER --threads 0
    64 compare vgg16 -o NEVER --cache warm,cold
    64 compare --network lenet -o NEVER --cache cold
    73 compare vgg16 -o FILE
    64 agreement vgg16 -o NEVER --visits 1
    64 agreement vgg16 -o NEVER --budget 0
    64 agreement vgg16 -o NEVER --cache hot
    64 agreement vgg16 -o NEVER --threads 0
    73 agreement vgg16 -o FILE
    64 paper nnpack --backends nobody
    64 paper nnpack --passes odd
    64 paper nnpack --seconds 0
    64 paper nnpack --threads 0
    73 paper nnpack --output FILE
    """.split(separator: "\n").map(String.init)

  @Test(arguments: wrong) func optionsAreCheckedBeforeListing(_ line: String) throws {
    let words = line.split(separator: " ").map(String.init)
    let (status, arguments) = (try #require(Int32(words[0])), words.dropFirst())
    try withTemporaryFolder { folder in
      try AtomicFile.write("neither JSON\n", to: folder + "/file")
      var all = arguments.map {
        $0.replacingOccurrences(of: "FILE", with: folder + "/file")
          .replacingOccurrences(of: "PROBLEM", with: "conv2d:c3h9w9k4r3s3")
          .replacingOccurrences(of: "NONE", with: folder + "/none")
          .replacingOccurrences(of: "NEVER", with: folder + "/never")
      }
      let takesFolder = all[0] == "run" && !all.contains { ["--output", "--resume"].contains($0) }
      if takesFolder { all += ["--output", folder + "/never"] }
      let run = try CommandLineRunner.run(all)
      let list = try CommandLineRunner.run(all + ["--list"])
      #expect(run.status == status, "\(run)")
      #expect(
        list.status == status && list.output.isEmpty && run.error.hasSuffix(list.error), "\(list)\n\(run)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/never"))
    }
  }

  /// What is fine is listed, and nothing is made for it.
  @Test func listingMakesNothing() throws {
    try withTemporaryFolder { folder in
      for arguments in [
        ["run", "vgg16", "--output"], ["tune", "vgg16", "-o"], ["compare", "vgg16", "-o"],
        ["agreement", "vgg16", "-o"], ["explain", "vgg16", "--audit", "-o"], ["paper", "nnpack", "-o"],
      ] {
        let outcome = try CommandLineRunner.run(arguments + [folder + "/out", "--list"])
        #expect(outcome.status == 0 && outcome.output.contains("conv2d:"), "\(outcome)")
        #expect(outcome.error.isEmpty, "\(outcome)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// The files that a command writes are needed only where it writes any.
  @Test func outputsThatAreNeeded() throws {
    for (command, words) in [
      ("tune", "--output FILE is needed"), ("compare", "--output DIR is needed"),
      ("agreement", "--output DIR is needed"),
    ] {
      let outcome = try CommandLineRunner.run([command, "vgg16"])
      #expect(outcome.status == 64 && outcome.error == "error: \(outcome.error.dropFirst(7))", "\(outcome)")
      #expect(outcome.error.contains(words), "\(outcome)")
      #expect(try CommandLineRunner.run([command, "vgg16", "--list"]).status == 0)
    }
  }
}
