import ConvCore
import Foundation
import Testing

@testable import ConvHarness

@Suite struct JUnitTests {
  @Test func rowsBecomeCases() throws {
    let rows = try [
      ReportSamples.row("quick", milliseconds: 1.5),
      ReportSamples.row("quick", name: "conv2", milliseconds: nil, verdict: .unsupported, reason: "no 5×5"),
      ReportSamples.row("slow", milliseconds: nil, verdict: .failed, reason: "0 where 1 is expected"),
      ReportSamples.row(
        "slow", name: "conv2", milliseconds: nil, verdict: .mistrusted, reason: "all zeros would pass"),
    ]
    let training = [
      ReportSamples.training("quick"), ReportSamples.training("slow", trajectoryError: 1.5),
      ReportSamples.training("other", problem: "no plan"),
    ]
    let report = JUnitReport(ReportSamples.report(rows, training: training))
    #expect(report.failures == 4)
    let root = try #require(try XMLNode.parse(report.text).children.first)
    #expect(root.name == "testsuites" && root.attributes["name"] == "vbench run")
    func counts(_ node: XMLNode) -> [String?] {
      ["tests", "failures", "skipped"].map { node.attributes[$0] }
    }
    #expect(counts(root) == ["7", "4", "1"])
    let suites = root.all("testsuite")
    #expect(
      suites.map { $0.attributes["name"] } == [
        "net.quick", "net.slow", "seed-cnn.quick", "seed-cnn.slow", "seed-cnn.other",
      ])
    #expect(counts(suites[0]) == ["2", "0", "1"] && counts(suites[1]) == ["2", "2", "0"])
    let cases = root.all("testcase")
    #expect(
      Set(cases.map { ($0.attributes["classname"] ?? "") + ($0.attributes["name"] ?? "") }).count
        == cases.count)
    // Seconds: 1.5 ms of the first row, half of a step of one and of a half second.
    #expect(cases[0].children.isEmpty && cases[0].attributes["time"] == "0.001500000")
    #expect(cases[4].attributes["time"] == "0.750000000" && cases[2].attributes["time"] == nil)
    #expect(cases[1].all("skipped").first?.attributes["message"] == "no 5×5")
    let reason = "0 where 1 is expected (error 8.8e-07 = 0.22 × bound, 20.5 bits right)"
    let failure = try #require(cases[2].all("failure").first)
    #expect(
      failure.attributes["type"] == "failed" && failure.attributes["message"] == reason)
    #expect(failure.text == "\(reason)\n\(rows[2].repro)")
    #expect(cases[3].all("failure").first?.attributes["type"] == "mistrusted")
    #expect(cases[5].all("failure").first?.text.contains("1.50 times") == true)
    #expect(cases[6].all("failure").first?.text == "no plan")
  }

  @Test func anyTextIsWellFormed() throws {
    let hostile = "a<b>&\"c\"'d'\u{0}\u{1}\u{1B}[31m\u{7F}\u{85}\u{FFFE}]]>\nsecond line ü"
    let report = JUnitReport(
      name: hostile,
      cases: [
        .init(
          suite: hostile, name: hostile, outcome: .failed(kind: hostile, reason: hostile, repro: hostile)),
        .init(suite: hostile, name: "2", outcome: .skipped(reason: hostile), seconds: .nan),
      ])
    let root = try #require(try XMLNode.parse(report.text).children.first)
    let clean = "a<b>&\"c\"'d'\\u{0}\\u{1}\\u{1b}[31m\\u{7f}\\u{85}]]>"
    #expect(root.attributes["name"]?.hasPrefix(clean) == true)
    let failure = try #require(root.all("failure").first)
    #expect(failure.attributes["message"] == clean + " second line ü")
    #expect(failure.text == clean + "\nsecond line ü\n" + clean + "\nsecond line ü")
    #expect(root.all("testcase")[1].attributes["time"] == "0")
    let empty = try #require(try XMLNode.parse(JUnitReport(name: "x").text).children.first)
    #expect(empty.attributes["tests"] == "0" && empty.children.isEmpty)
  }
}
