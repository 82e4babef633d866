import ConvBackends
import ConvCore
import ConvHarness
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// The table of results on terminals of any width, and in pipes.
@Suite struct ResultTableTests {
  private static let engines = ["naive", "im2col", "winograd", "direct", "fft"]

  /// Two layers in two passes, the last engine declines the second pass.
  private static func report() throws -> RunReport {
    var report = RunReport(environment: [], command: "", date: "", peak: 0)
    for (name, problem) in [
      ("conv2_1_3x3_of_a_long_name", "conv2d:n1c64h56w56k64r3s3p1"), ("", "conv2d:n16c3h224w224k64r7s7u2p3"),
    ] {
      for pass in [ConvPass.forward, .backwardFilter] {
        var rows: [ResultRow] = []
        for (index, engine) in engines.enumerated() {
          let item = RunItem(
            suite: "resnet50", problem: BenchmarkProblem(try ConvProblem(parsing: problem), name: name),
            pass: pass)
          var row = ResultRow(
            item: item, competitor: Competitor(try BackendRegistry.named(engine).backend),
            settings: RunSettings())
          let isDeclined = engine == "fft" && pass == .backwardFilter
          row.verification = Verification(isDeclined ? .unsupported : .passed, reason: "")
          if !isDeclined {
            let milliseconds = [100, 4, 1.234, 1.24, 2][index]
            row.seconds = Array(repeating: milliseconds * 1e-3, count: 20)
            row.rounds = Array(0..<20)
            row.medianMilliseconds = milliseconds
            row.verification.errorRatio = 0.25
            row.verification.errorBound = 1e-5
          }
          rows.append(row)
        }
        for index in rows.indices where rows[index].medianMilliseconds.isFinite {
          let ratio = 4 / rows[index].medianMilliseconds
          rows[index].speedup = Speedup(
            ratio: ratio, low: ratio, high: ratio,
            verdict: ratio == 1 ? .baseline : ratio > 1 ? .faster : .slower)
          let beside = rows[index].medianMilliseconds / 1.234
          rows[index].best = BestComparison(
            backend: "winograd", ratio: beside, low: beside, high: beside,
            verdict: beside == 1 ? .best : beside < 1.02 ? .indistinguishable : .slower)
        }
        report.rows += rows
      }
    }
    return report
  }

  private static func lines(_ report: RunReport, _ layout: TableLayout?, _ width: Int?) -> [String] {
    var table = ResultTable(report, layout: layout, width: width)
    let items = stride(from: 0, to: report.rows.count, by: engines.count).map {
      Array(report.rows[$0..<$0 + engines.count])
    }
    return items.flatMap { table.lines($0).components(separatedBy: "\n") }
  }

  /// No line is wider than the terminal, whatever its width; engines and times stay as long as there is room.
  @Test(arguments: [nil, TableLayout.wide, .long]) func tablesFitTheTerminal(_ layout: TableLayout?) throws {
    let report = try Self.report()
    var layouts = Set<Int>()
    for width in 1...220 {
      let lines = Self.lines(report, layout, width)
      #expect(lines.allSatisfy { $0.count <= width }, "\(width): \(lines)")
      layouts.insert(lines.count)
      if width >= 80 {
        #expect(lines.joined().contains("winograd") && lines.joined().contains("1.23"), "\(width): \(lines)")
      }
    }
    // A header and a line per item, or per row.
    let expected: Set<Int> = layout == .wide ? [5] : layout == .long ? [21] : [5, 21]
    #expect(layouts == expected)
  }

  @Test func engineColumnsOfAWideTerminal() throws {
    let lines = Self.lines(try Self.report(), nil, 160)
    #expect(
      lines == [
        "layer                                ms by pass           naive     im2col   winograd     direct        fft           best/baseline  error/bound",
        "resnet50 conv2_1_3x3_of_a_long_name  forward               100       4.00       1.23*      1.24=      2.00         3.24 (3.24–3.24)         0.25",
        "resnet50 conv2_1_3x3_of_a_long_name  backward-filter       100       4.00       1.23*      1.24=   declined        3.24 (3.24–3.24)         0.25",
        "conv2d:n16c3h224w224k64r7s7u2p3      forward               100       4.00       1.23*      1.24=      2.00         3.24 (3.24–3.24)         0.25",
        "conv2d:n16c3h224w224k64r7s7u2p3      backward-filter       100       4.00       1.23*      1.24=   declined        3.24 (3.24–3.24)         0.25",
      ], "\(lines.joined(separator: "\n"))")
    // Too narrow for all columns: what matters least goes, then the middle of long names.
    let narrow = Self.lines(try Self.report(), .wide, 96)
    #expect(
      narrow[0].hasSuffix("fft") && narrow[1].hasPrefix("resnet50…_of_a_long_name  forward "),
      "\(narrow.joined(separator: "\n"))")
  }

  @Test func linesPerEngineLoseColumnsBeforeNames() throws {
    let report = try Self.report()
    let whole = Self.lines(report, .long, nil)
    // In a pipe the layout is long and nothing is cut.
    #expect(Self.lines(report, nil, nil) == whole)
    let all = [
      "layer", "pass", "backend", "verdict", "samples", "ms", "GFLOP/s", "peak %", "error", "bits",
      "speed-up", "time/best",
    ]
    #expect(
      all.allSatisfy { whole[0].contains($0) } && whole[1].contains("2.5e-06 = 0.25 × bound"), "\(whole[0])")
    #expect(
      whole.dropFirst().allSatisfy {
        $0.contains("conv2_1_3x3_of_a_long_name") || $0.contains("n16c3h224w224k64r7s7u2p3")
      })
    let narrow = Self.lines(report, .long, 80)
    #expect(
      ["layer", "pass", "backend", "verdict", "ms", "speed-up"].allSatisfy { narrow[0].contains($0) }
        && !narrow[0].contains("bits"), "\(narrow[0])")
  }

  @Test func namesAreShortenedInTheMiddle() {
    #expect(ResultTable.shortened("resnet50 conv3_1", to: 16) == "resnet50 conv3_1")
    #expect(ResultTable.shortened("resnet50 conv3_1", to: 10) == "res…onv3_1")
    for width in 1...16 { #expect(ResultTable.shortened("resnet50 conv3_1", to: width).count == width) }
    #expect(ResultTable.shortened("a\u{1B}b", to: 100) == QuotedText.visible("a\u{1B}b"))
  }

  @Test func longLinesOfTheAnswerBreakBetweenWords() {
    let line = "  take winograd: 2.91 × (2.80–3.02) as fast as im2col"
    #expect(Terminal.wrapped(line, width: nil, indent: 4) == line)
    #expect(
      Terminal.wrapped(line, width: 30, indent: 4)
        == "  take winograd: 2.91 ×\n    (2.80–3.02) as fast as\n    im2col")
    for width in 1...8 { #expect(Terminal.wrapped(line, width: width, indent: 4) == line) }
  }
}
