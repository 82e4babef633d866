import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

@Suite struct HostileArgumentTests {
  private func fault(_ arguments: [String]) -> String {
    do {
      return "\(try ArgumentFile.expanded(arguments).count) arguments"
    } catch { return "\(error)" }
  }

  /// Each file names the next one twice and holds nothing else: 2⁴⁰ readings without a single word.
  @Test func filesThatNameOthersTwice() throws {
    try withTemporaryFolder { folder in
      for level in 0..<40 {
        try AtomicFile.write("@b\(level + 1) @b\(level + 1)\n", to: "\(folder)/b\(level)")
      }
      try AtomicFile.write("# nothing\n", to: "\(folder)/b40")
      #expect(fault(["@\(folder)/b0"]).contains("more than 10000 files are read"))
      #expect(fault(["@\(folder)/b30"]) == "0 arguments", "1024 readings are none too many")
    }
  }

  /// A chain of files ends before the stack does.
  @Test func filesInFilesHaveALimit() throws {
    try withTemporaryFolder { folder in
      for level in 0..<200 { try AtomicFile.write("@c\(level + 1)\n", to: "\(folder)/c\(level)") }
      try AtomicFile.write("info\n", to: "\(folder)/c200")
      #expect(fault(["@\(folder)/c0"]).contains("more than 64 deep"))
      #expect(fault(["@\(folder)/c137"]) == "1 arguments", "64 files")
      #expect(fault(["@\(folder)/c136"]).contains("more than 64 deep"))
    }
  }

  /// Long files without a word, again and again.
  @Test func bytesOfFilesHaveALimit() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("#" + String(repeating: "x", count: 1_000_000), to: "\(folder)/long")
      #expect(fault(["@\(folder)/long", "@\(folder)/long"]) == "0 arguments")
      #expect(fault(Array(repeating: "@\(folder)/long", count: 9)).contains("more than 8388608 bytes"))
    }
  }

  @Test func argumentsHaveALimit() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(String(repeating: "a ", count: 3_000), to: "\(folder)/many")
      #expect(fault(["@\(folder)/many"]) == "3000 arguments")
      #expect(
        fault(["@\(folder)/many", "@\(folder)/many"]).contains("more than 4000 arguments come from files"))
      #expect(fault(Array(repeating: "a", count: 4_001)).contains("has 4001 arguments, at most 4000"))
      #expect(fault(Array(repeating: "a", count: 4_000)) == "4000 arguments")
    }
  }

  /// Names of options, values and problems of a megabyte: a short message at once.
  @Test(arguments: [1_000, 65_536, 1_000_000])
  func longArguments(_ count: Int) throws {
    let long = String(repeating: "a", count: count)
    try withTemporaryFolder { folder in
      for words in [
        "run --\(long)", "run --\(long)=1", "run -\(long)", long, "run --suite \(long)", "list \(long)",
        "list suites --format \(long)", "list suites --format=\(long)", "run --list --match (\(long)",
        "explain \(long)",
        "explain conv2d:\(long)", "run --list --backends \(long)", "run --list --passes \(long)",
        "run --onnx \(long)", "report \(long)", "check --references \(long)", "run --suite \(long)/*",
        "run --plan \(long)", "diff \(long) \(long)", "@\(long)",
      ] {
        try AtomicFile.write(words, to: "\(folder)/arguments")
        let outcome = try CommandLineRunner.run(["@\(folder)/arguments"])
        #expect([64, 65, 66].contains(outcome.status), "\(words.prefix(40)): \(outcome.status)")
        #expect(
          outcome.error.count < 1_500 && !outcome.error.contains(String(repeating: "a", count: 201)),
          "\(words.prefix(40)): \(outcome.error.count) characters")
      }
    }
  }

  @Test func aMarkBeforeTheWordsOfAFile() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("\u{FEFF}list @inner", to: "\(folder)/outer")
      try AtomicFile.write("\u{FEFF}suites\r\n", to: "\(folder)/inner")
      #expect(try ArgumentFile.expanded(["@\(folder)/outer"]) == ["list", "suites"])
    }
  }

  /// Thousands of names in a list are compared with each other.
  @Test func listsOfEngines() {
    let names = Array(repeating: "im2col", count: 1_001).joined(separator: ",")
    #expect {
      try NameList.competitors(names)
    } throws: { "\($0)".contains("names 1001 engines, at most 1000") }
  }

  /// Numbers for which arithmetic, or memory, would end before the work does.
  @Test func numbersWithoutMeasure() throws {
    for (arguments, words) in [
      (
        ["check", "--laws", "--backends", "naive", "--count", "9223372036854775807"],
        "1 to 1000000 are possible"
      ),
      (["check", "--laws", "--backends", "naive", "--count", "0"], "1 to 1000000 are possible"),
      (
        ["compare", "--suite", "seed-cnn", "--output", "never", "--rounds", "9223372036854775807"],
        "1 to 100000"
      ),
      (
        ["run", "--quick", "--output", "never", "--rounds", "9223372036854775807"], "1 to 100000 are possible"
      ),
    ] {
      let outcome = try CommandLineRunner.run(arguments)
      #expect(outcome.status == 64 && outcome.error.contains(words), "\(outcome)")
    }
  }

  /// Every option that takes a number, with arguments beside it that end soon, and what none of them takes.
  private static let numbers: [(option: String, arguments: [String])] = [
    ("--batch", ["explain", tiny]), ("--threads", ["explain", tiny]), ("--workspace", ["explain", tiny]),
    ("--budget", ["explain", tiny]), ("--rounds", ["explain", tiny]), ("--seed", ["explain", tiny]),
    ("--batch", ["run", "--list", "--suite", "vgg16"]), ("--budget", ["run", "--list", tiny]),
    ("--seed", ["run", "--list", tiny]), ("--steps", ["run", "--list", tiny]),
    ("--shrink", ["run", "--list", tiny]), ("--threads", ["run", tiny]), ("--workspace", ["run", tiny]),
    ("--rounds", ["run", tiny]), ("--precision", ["run", tiny]), ("--visits", ["run", tiny]),
    ("--budget", ["tune", tiny]), ("--max-error", ["tune", tiny]), ("--threads", ["tune", tiny]),
    ("--rounds", ["tune", tiny]), ("--visits", ["tune", tiny]), ("--workspace", ["tune", tiny]),
    ("--epochs", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--batch-size", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--limit", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--lr", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--momentum", ["train", "seed-cnn", "--optimizer", "sgd", "--dataset", "nowhere"]),
    ("--seed", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--threads", ["train", "seed-cnn", "--dataset", "nowhere"]),
    ("--count", ["check", "--laws", "--backends", "naive"]),
    ("--seed", ["check", "--laws", "--backends", "nonesuch"]),
    ("--threads", ["check", "--laws", "--backends", "nonesuch"]),
    ("--shrink", ["check", "--laws", "--backends", "nonesuch"]),
    ("--items", ["agreement"]), ("--visits", ["agreement"]), ("--budget", ["agreement"]),
    ("--threads", ["agreement"]), ("--seed", ["agreement"]), ("--batch", ["agreement"]),
    ("--rounds", ["compare", tiny, "--peer", "false"]), ("--seconds", ["compare", tiny, "--peer", "false"]),
    ("--threads", ["compare", tiny, "--peer", "false"]), ("--batch", ["compare", tiny, "--peer", "false"]),
    ("--batch", ["paper", "nnpack", "--list"]), ("--seed", ["paper", "nnpack", "--list"]),
    ("--seconds", ["paper", "nnpack", "--layers", "nonesuch"]),
    ("--threads", ["paper", "nnpack", "--layers", "nonesuch"]),
    ("--threshold", ["diff", "nowhere", "nowhere"]),
  ]
  private static let tiny = "conv2d:n1c1h3w3k1r1s1"
  /// None of these is a number of anything but of seeds, which are 64 bits without a sign.
  private static let values = [
    "9223372036854775807", "-9223372036854775808", "1e308", "-1", "nan", "inf", "",
  ]

  /// A usage error, or it works; where the value is fine the other arguments may end it in a documented way.
  @Test(arguments: numbers.map { "\($0.option) of \($0.arguments.joined(separator: " "))" })
  func numericOptions(_ name: String) throws {
    let (option, arguments) = try #require(
      Self.numbers.first { "\($0.option) of \($0.arguments.joined(separator: " "))" == name })
    try withTemporaryFolder { folder in
      for value in Self.values {
        var all = arguments
        if ["run", "tune"].contains(arguments[0]) { all += ["--output", folder + "/out"] }
        let outcome = try CommandLineRunner.run(all + ["\(option)=\(value)"])
        #expect([0, 64, 66].contains(outcome.status), "\(outcome)")
        // A debug build declines to tune and to compare before it looks at all options.
        let isSeed = option == "--seed" && value == "9223372036854775807"
        let isLarge =
          ["--lr", "--max-error"].contains(option) && ["1e308", "inf", "9223372036854775807"].contains(value)
        if !isSeed && !isLarge { #expect(outcome.status == 64, "\(outcome)") }
      }
    }
  }

  /// Problems up to the limits of what a problem may be, through the whole command: an answer or an error, and soon.
  @Test func extremeProblems() throws {
    let corners = ExtremeProblems.corners + (0..<30).map { "\(ExtremeProblems.problem(seed: UInt64($0)))" }
    let list = try CommandLineRunner.run(["run", "--list"] + corners)
    #expect(list.status == 0, "\(list)")
    #expect(list.output.contains("\(corners.count) problems"), "\(list)")
    try withTemporaryFolder { folder in
      let times = corners.enumerated().map { "\($1) layer\($0)*4294967296" }.joined(separator: "\n")
      try AtomicFile.write(times, to: folder + "/suite.txt")
      let suite = try CommandLineRunner.run(["run", "--list", "--suite", folder + "/suite.txt"])
      #expect(suite.status == 0 && suite.output.contains("4294967296"), "\(suite)")
    }
    // Operands of 4 TiB: an explanation makes no data of that size.
    for text in [
      "conv2d:n1c1h1048576w1048576k1r1s1", "conv1d:n2147483647c512w1k1s1",
      "conv2d:n1024c1024h1024w1024k1024r1s1",
    ] {
      let outcome = try CommandLineRunner.run(["explain", text, "--passes", "forward"])
      #expect(outcome.status == 0 && outcome.output.contains("error bounds are left out"), "\(outcome)")
    }
    for text in ["u3037000500", "p9223372036854775807", "l2097152", "g4294967296"] {
      for command in [["explain"], ["run", "--list"]] {
        let outcome = try CommandLineRunner.run(command + ["conv2d:c1h1w1k1r1s1\(text)"])
        #expect(outcome.status == 64 && outcome.error.contains("at most"), "\(outcome)")
      }
    }
  }
}
