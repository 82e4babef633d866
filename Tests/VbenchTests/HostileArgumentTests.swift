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
  @Test(.timeLimit(.minutes(1))) func filesThatNameOthersTwice() throws {
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
  @Test(.timeLimit(.minutes(1)), arguments: [1_000, 65_536, 1_000_000])
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
}
