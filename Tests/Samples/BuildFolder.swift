import ConvTestSupport
import Foundation

/// The build that this program belongs to: its modules, its objects, and how `vbench` was linked.
struct BuildFolder {
  /// Such as `.build/x86_64-unknown-linux-gnu/release`.
  let folder: URL
  private let compiler: String
  private let libraries: [String]
  private let clang: [String]
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
    let plan = folder.deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "\(folder.lastPathComponent).yaml")
    let steps = try String(contentsOf: plan, encoding: .utf8)
    func command(_ marks: String...) throws -> [String] {
      for line in steps.split(separator: "\n") where marks.allSatisfy(line.contains) {
        guard let start = line.firstIndex(of: "["), line.contains("    args: ["),
          let words = try JSONSerialization.jsonObject(with: Data(line[start...].utf8)) as? [String]
        else { continue }
        return words
      }
      throw MarkdownSample.Fault(description: "\(plan.path) has no command with \(marks)")
    }
    let link = try command("\"-emit-executable\"", "/vbench.product/Objects.LinkFileList\"")
    compiler = link[0]
    libraries = link.filter { $0.hasPrefix("-l") || ($0.hasPrefix("-L") && $0.count > 2) }
    // Where the maps of the C modules are, which its modules import.
    let compile = try command("\"-module-name\",\"VbenchCLI\"")
    clang = zip(compile, compile.dropFirst()).flatMap { $0 == "-Xcc" ? [$0, $1] : [] }
  }

  /// The command that makes a program of one source.
  func compilation(of source: URL, to program: URL) throws -> [String] {
    let list = source.deletingLastPathComponent().appending(path: "objects")
    try Data(objects.joined(separator: "\n").utf8).write(to: list)
    return [compiler, "-swift-version", "6", "-O", "-warnings-as-errors", "-module-name", "Sample"]
      + ["-I", folder.appending(path: "Modules").path, "-Xlinker", "--gc-sections"] + clang + libraries
      + [source.path, "@\(list.path)", "-o", program.path]
  }
}
