import ConvTestSupport
import Foundation

/// The build that this program belongs to: its modules, its objects, and how `vbench` was linked.
struct BuildFolder {
  /// Such as `.build/x86_64-unknown-linux-gnu/release`.
  let folder: URL
  private let compiler: String
  private let libraries: [String]
  private let objects: [String]

  init() throws {
    folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let list = folder.appending(path: "vbench.product/Objects.LinkFileList")
    guard let text = try? String(contentsOf: list, encoding: .utf8) else {
      throw MarkdownSample.Fault(
        description: "\(list.path) is not there: build the product vbench in the same configuration first")
    }
    // All of it but the entry point.
    objects = text.split(separator: "\n").map(String.init).filter { !$0.contains("/vbench.build/") }
    let command = try Self.linkCommand(folder)
    compiler = command[0]
    libraries = command.filter { $0.hasPrefix("-l") || ($0.hasPrefix("-L") && $0.count > 2) }
  }

  /// How SwiftPM links `vbench`, from its list of what it does.
  private static func linkCommand(_ folder: URL) throws -> [String] {
    let plan = folder.deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "\(folder.lastPathComponent).yaml")
    let text = try String(contentsOf: plan, encoding: .utf8)
    for line in text.split(separator: "\n") where line.contains("\"-emit-executable\"") {
      guard line.contains("/vbench.product/Objects.LinkFileList\""), let start = line.firstIndex(of: "["),
        let words = try JSONSerialization.jsonObject(with: Data(line[start...].utf8)) as? [String],
        words.count > 1
      else { continue }
      return words
    }
    throw MarkdownSample.Fault(description: "\(plan.path) does not say how vbench is linked")
  }

  /// The command that makes a program of one source.
  func compilation(of source: URL, to program: URL) throws -> [String] {
    let list = source.deletingLastPathComponent().appending(path: "objects")
    try Data(objects.joined(separator: "\n").utf8).write(to: list)
    return [compiler, "-swift-version", "6", "-O", "-warnings-as-errors", "-module-name", "Sample"]
      + ["-I", folder.appending(path: "Modules").path, "-Xlinker", "--gc-sections"] + libraries
      + [source.path, "@\(list.path)", "-o", program.path]
  }
}
