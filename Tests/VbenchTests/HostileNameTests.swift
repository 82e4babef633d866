import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// Names of layers, nodes and files that would draw on a terminal, begin lines of their own, or be markup.
@Suite(.serialized) struct HostileNameTests {
  private static let suite = """
    conv2d:n1c4h8w8k4r3s3p1 <script>alert(1)</script>|pipe,comma"q'&amp;`tick`[x](javascript:alert(1))
    conv2d:n1c4h9w9k4r3s3p1 =cmd|' /C calc'!A0
    conv2d:n1c4h10w9k4r3s3p1 @SUM(1+1)*2
    mb1ic4ih8oc4kh3ph1n-1+1
    mb1ic4ih11oc4kh3ph1n"\u{1B}[0m\u{1B}[2J\u{1B}]0;pwn</title><img/src=x/onerror=alert(1)>"

    """
  /// A convolution whose node's name has escape sequences, and a newline before `,"=1`.
  private static let model =
    "CAg6cQo6CgF4CgF3EgF5GikuLi8uLi8uLi9ldGMveBtdMDtwd24HG1szMW08c2NyaXB0PnwKLCI9MSIEQ29udhIHPGI+G1sySioNCAgI"
    + "AwgDCAMQAUIBd1obCgF4EhYKFAgBEhAKAggBCgIIAwoCCCAKAggg"
  private static let engine = ["--backends", "naive", "--passes", "forward"]

  /// - Parameter isFile: newlines in files are the business of their markup.
  private func expectTame(_ text: String, _ place: String, isFile: Bool = false) {
    let obeyed = text.unicodeScalars.filter {
      $0 != "\n" && ($0.value < 0x20 || (0x7F...0x9F).contains($0.value))
    }
    #expect(obeyed.isEmpty, "\(place): \(QuotedText.visible(lines: text))")
    for line in isFile ? [] : text.components(separatedBy: "\n") {
      #expect(!line.hasPrefix(",\"=1") && !line.hasPrefix("INJECTED"), "\(place): a line of a name: \(line)")
    }
  }

  private func expectTame(_ outcome: CommandLineRunner.Outcome, _ status: Int32 = 0) {
    #expect(outcome.status == status, "\(QuotedText.visible(lines: outcome.description))")
    expectTame(outcome.output, outcome.command)
    expectTame(outcome.error, outcome.command)
  }

  @Test func everyCommandShowsNamesAsNames() throws {
    try withTemporaryFolder { parent in
      let folder = parent + "/\u{1B}[31mred\nINJECTED | `x`"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let (suite, model) = (folder + "/layers\u{1B}[2J.txt", folder + "/net\nINJECTED.onnx")
      try AtomicFile.write(Self.suite, to: suite)
      try AtomicFile.write(Array(#require(Data(base64Encoded: Self.model))), to: model)
      for source in [["--suite", suite], ["--onnx", model]] {
        expectTame(try CommandLineRunner.run(["run", "--list"] + source))
        expectTame(try CommandLineRunner.run(["tune", "--list", "-o", folder + "/plan"] + source))
        expectTame(try CommandLineRunner.run(["compare", "--list"] + source))
        expectTame(try CommandLineRunner.run(["agreement", "--list"] + source))
        expectTame(try CommandLineRunner.run(["explain"] + source + Self.engine))
        let out = folder + "/out \(source[0])"
        let run =
          ["run", "--output", out, "--baseline", "naive", "--junit", out + ".xml"] + source + Self.engine
        expectTame(try CommandLineRunner.run(run))
        for arguments in [["report", out], ["diff", out, out]] {
          expectTame(try CommandLineRunner.run(arguments))
        }
        let markdown = try InputFile.text(of: out + "/report.md")
        expectTame(markdown, "report.md", isFile: true)
        #expect(
          !markdown.contains("<script>") && !markdown.contains("[x](javascript") && !markdown.contains("<img")
        )
        let html = try InputFile.text(of: out + "/report.html")
        expectTame(html, "report.html", isFile: true)
        #expect(!html.contains("<script>alert") && !html.contains("<img"))
        expectTame(try InputFile.text(of: out + ".xml"), "JUnit", isFile: true)
        let csv = try PlainTables.csv(InputFile.text(of: out + "/results.csv"))
        let names = Set(csv.compactMap { $0["name"] })
        if source[0] == "--suite" {
          #expect(names.isSuperset(of: ["'=cmd|' /C calc'!A0", "'@SUM(1+1)", "'-1+1"]), "\(names)")
        } else {
          #expect(names.contains { $0.contains("\u{1B}]0;pwn") && $0.contains("\n,\"=1") }, "\(names)")
        }
      }
    }
  }

  /// What is wrong with such files and options is said in lines of ours.
  @Test func errorsRepeatNamesAsNames() throws {
    let name = "x\u{1B}[2J\nINJECTED\u{9B}31m"
    try withTemporaryFolder { folder in
      try AtomicFile.write("conv2d:n1\n", to: "\(folder)/\(name)")
      expectTame(try CommandLineRunner.run(["run", "--suite", "\(folder)/\(name)"]), 65)
      expectTame(try CommandLineRunner.run(["check", "--references", "\(folder)/\(name).none"]), 66)
      expectTame(try CommandLineRunner.run(["report", "\(folder)/\(name).none"]), 66)
    }
    for arguments in [
      [name], ["run", "--" + name], ["run", "--suite=" + name], ["list", name],
      ["run", "--backends", name, "--list"],
      ["explain", name], ["run", "--threads", name], ["train", name, "--dataset", name],
      ["diff", "--threshold", name, "a", "b"],
    ] {
      let outcome = try CommandLineRunner.run(arguments)
      #expect([64, 65, 66].contains(outcome.status), "\(QuotedText.visible(lines: outcome.description))")
      expectTame(outcome.error, outcome.command)
    }
    expectTame(
      try CommandLineRunner.run(
        ["list", "suites"], environment: ["VBENCH_ISA": name, "VBENCH_THREADS": name]))
  }
}
