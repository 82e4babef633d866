import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// The cut of a report that is a file of its own.
@Suite struct PictureTests {
  private func report(suites: Int, engines: [String] = ["base", "quick"]) throws -> RunReport {
    let rows = try (0..<suites).flatMap { suite in
      try ["conv1", "conv2"].flatMap { name in
        try ConvPass.allCases.flatMap { pass in
          try engines.enumerated().map { index, engine in
            try ReportSamples.row(
              engine, suite: "net\(suite)", name: name, pass: pass, milliseconds: Double(index + 1),
              error: 1e-6 / Double(index + 1))
          }
        }
      }
    }
    return ReportSamples.report(rows)
  }

  private func titles(_ svg: XMLNode) -> [String] {
    svg.all("text") { $0.attributes["class"] == "label" }.map(\.text)
  }

  /// It is well-formed, needs nothing else, has both modes, and every class that it uses has a rule.
  @Test func standsAlone() throws {
    let text = try ReportPicture(report(suites: 2)).text
    for word in ["src=", "@import", "url(", "<script", "https://", "xlink"] {
      #expect(!text.contains(word), "\(word)")
    }
    #expect(text.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\"") && text.utf8.count < 200_000)
    #expect(text.contains("prefers-color-scheme:dark"))
    let svg = try #require(XMLNode.parse(text).all("svg").first)
    let background = try #require(svg.all("rect").first)
    #expect(background.attributes["class"] == "page")
    #expect(background.attributes["width"] == svg.attributes["width"])
    #expect(background.attributes["height"] == svg.attributes["height"])
    let style = try #require(svg.all("style").first).text
    // Names that only choose among rules: the font of all texts is that of `svg text`.
    let plain: Set = ["t-start"]
    for node in svg.all("path") + svg.all("rect") + svg.all("text") {
      let classes = (node.attributes["class"] ?? "").split(separator: " ").map(String.init)
      #expect(!classes.isEmpty, "\(node.name)")
      for name in classes where !plain.contains(name) { #expect(style.contains("." + name), "\(name)") }
    }
    for colour in EngineStyles.light + EngineStyles.dark { #expect(style.contains(colour)) }
  }

  @Test func drawsWhatIsNamed() throws {
    let report = try report(suites: 6)
    #expect(try titles(XMLNode.parse(ReportPicture(report).text)) == (0..<4).map { "net\($0) conv1" })
    #expect(
      try titles(XMLNode.parse(ReportPicture(report, layers: ["net3 conv2", "net1 conv1"]).text))
        == ["net3 conv2", "net1 conv1"])
    #expect(try titles(XMLNode.parse(ReportPicture(report, layers: ["conv2"]).text)).count == 6)
    #expect {
      try ReportPicture(report, layers: ["conv1", "net9 conv2"])
    } throws: { "\($0)".contains("unknown layer 'net9 conv2'; did you mean 'net0 conv2'?") }
    #expect {
      try ReportPicture(report, layers: ["conv1", "conv2"])
    } throws: { "\($0)".contains("12 layers are more than a picture holds, which is 8") }
    for rows in [[], try [ReportSamples.row("a", milliseconds: nil)]] {
      #expect {
        try ReportPicture(ReportSamples.report(rows))
      } throws: { "\($0)".contains("no layer of this run has times and errors") }
    }
  }

  /// Nothing is drawn outside, however many engines there are.
  @Test(arguments: [1, 2, 3, 8]) func fits(_ count: Int) throws {
    let engines = ["base"] + (1..<30).map { "an-engine-\($0)" }
    let names = (0..<count).map { "net\($0) conv1" }
    let page = try XMLNode.parse(ReportPicture(report(suites: count, engines: engines), layers: names).text)
    let svg = try #require(page.all("svg").first)
    let width = try #require(Double(svg.attributes["width"] ?? ""))
    let height = try #require(Double(svg.attributes["height"] ?? ""))
    let legend = svg.all("text") { $0.attributes["class"] == "name" }
    #expect(legend.map(\.text) == engines)
    for text in legend + svg.all("text", { $0.attributes["class"] == "remark" }) {
      let x = Double(text.attributes["x"] ?? "") ?? .nan
      let y = Double(text.attributes["y"] ?? "") ?? .nan
      #expect(x > 0 && y > 0 && y < height - 3, "\(text.text)")
      if text.attributes["class"] == "name" {
        #expect(x + SVGCanvas.width(of: text.text, size: 11.5) < width, "\(text.text)")
      }
    }
    for rectangle in svg.all("rect") {
      func number(_ key: String) -> Double { Double(rectangle.attributes[key] ?? "") ?? .nan }
      #expect(number("x") + number("width") <= width && number("y") + number("height") <= height)
    }
  }
}
