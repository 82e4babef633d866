import ConvTestSupport
import Foundation

/// Goes through the samples, prints a line for each, and counts those that fail.
struct SampleCheck {
  let checkout: URL
  private let build: BuildFolder
  private let scratch: URL

  init(checkout: URL) throws {
    self.checkout = checkout
    guard FileManager.default.fileExists(atPath: checkout.appending(path: "Package.swift").path) else {
      throw MarkdownSample.Fault(description: "no Package.swift here: run check-samples in the checkout")
    }
    build = try BuildFolder()
    scratch = FileManager.default.temporaryDirectory.appending(path: "samples-\(getpid())")
  }

  /// Checks the pages or blocks that are named as `README.md` or `README.md:12`; all where none is.
  ///
  /// - Returns: How many samples failed.
  /// - Throws: what keeps pages from being read.
  func run(_ chosen: [String]) throws -> Int {
    defer { try? FileManager.default.removeItem(at: scratch) }
    var counts = (checked: 0, failed: 0)
    for page in try DocumentationPages.all(in: checkout) {
      let folder = scratch.appending(path: page)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try putReadersFiles(into: folder)
      let samples = try DocumentationPages.samples(of: page, in: checkout)
      let programs = MarkdownSample.programs(samples)
      for sample in samples {
        let isChosen = chosen.isEmpty || chosen.contains(page) || chosen.contains(sample.place)
        guard isChosen else { continue }
        switch sample.language {
        case .text: continue
        case .sh:
          for (line, command) in sample.commands {
            report("\(page):\(line)", command.text, &counts) {
              try check(command, sample.mark, in: folder)
            }
          }
        case .swift where sample.isManifest:
          report(sample.place, "manifest", &counts) { try checkManifest(sample, in: folder) }
        case .swift:
          // The whole program, where its first block stands.
          guard let blocks = programs.first(where: { $0[0].line == sample.line }) else { continue }
          report(sample.place, "Swift, \(blocks.count) block\(blocks.count == 1 ? "" : "s")", &counts) {
            try checkProgram(blocks, in: folder)
          }
        }
      }
    }
    say("\(counts.checked) samples, \(counts.failed) failed")
    guard counts.checked > 0 else {
      throw MarkdownSample.Fault(description: "no sample is \(chosen.joined(separator: " or "))")
    }
    return counts.failed
  }

  /// Stands for what a reader has: models and files of problems.
  private func putReadersFiles(into folder: URL) throws {
    let references = checkout.appending(path: "References/models")
    for (stored, name) in [
      ("residual.onnx", "model.onnx"), ("exports/detector-dynamo-image.onnx", "detector.onnx"),
    ] {
      try FileManager.default.copyItem(
        at: references.appending(path: stored), to: folder.appending(path: name))
    }
    let problems = Data("conv2d:n1c64h28w28k64r3s3p1 res3a\n".utf8)
    try problems.write(to: folder.appending(path: "shapes.txt"))
    let shapes = folder.appending(path: "shapes")
    try FileManager.default.createDirectory(at: shapes, withIntermediateDirectories: true)
    try problems.write(to: shapes.appending(path: "resnet"))
  }

  /// At once, so that a long check shows where it is.
  private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

  private func report(
    _ place: String, _ what: String, _ counts: inout (checked: Int, failed: Int), _ body: () throws -> Void
  ) {
    let start = ContinuousClock.now
    counts.checked += 1
    var words = "ok    "
    do { try body() } catch {
      counts.failed += 1
      words = "FAILED"
      say("\(error)")
    }
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    let time = String(format: "%6.1f s", Double(seconds) + Double(attoseconds) * 1e-18)
    say("\(words) \(time)  \(place)  \(what)")
  }

  /// What it says has to work: a line of `make` as far as `make -n` goes; lines that only have to parse as far as the shell can tell,
  /// and what runs and comparisons would measure is listed (`DocumentationTests` parse all lines of `vbench`); every other one as it
  /// stands.
  private func check(_ command: ShellCommand, _ mark: MarkdownSample.Mark?, in folder: URL) throws {
    if command.parts[0][0] == "make" {
      try run(["make", "-n"] + command.parts[0].dropFirst(), in: checkout)
    } else if mark == .parseOnly {
      try run(["bash", "-n", "-c", command.text], in: folder)
      for part in command.parts {
        try run(["bash", "-c", "command -v \"$0\"", part[0]], in: folder)
        if ["run", "compare"].contains(part.dropFirst().first), part[0] == "vbench",
          !part.contains("--resume")
        {
          try run(part + (part.contains("--list") ? [] : ["--list"]), in: folder)
        }
      }
    } else {
      try run(["bash", "-e", "-o", "pipefail", "-c", command.text], in: folder)
    }
  }

  /// Evaluates a manifest; the products that it takes from this package have to exist.
  private func checkManifest(_ sample: MarkdownSample, in folder: URL) throws {
    let package = folder.appending(path: "package-\(sample.line)")
    try FileManager.default.createDirectory(at: package, withIntermediateDirectories: true)
    try Data(sample.text.utf8).write(to: package.appending(path: "Package.swift"))
    // Nobody else builds there, so that nobody is waited for.
    let build = package.appending(path: ".build").path
    func manifest(_ folder: URL) throws -> [String: Any] {
      let text = try run(
        ["swift", "package", "--package-path", folder.path, "--scratch-path", build, "dump-package"],
        in: folder)
      let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
      return object as? [String: Any] ?? [:]
    }
    let targets = try manifest(package)["targets"] as? [[String: Any]] ?? []
    let used = targets.flatMap { $0["dependencies"] as? [[String: Any]] ?? [] }
      .compactMap { ($0["product"] as? [Any])?.first as? String }
    let products = try manifest(checkout)["products"] as? [[String: Any]] ?? []
    let known = products.compactMap { $0["name"] as? String }
    guard !used.isEmpty, used.allSatisfy(known.contains) else {
      throw MarkdownSample.Fault(description: "takes the products \(used) of \(known)")
    }
  }

  /// Compiles a program, and runs it unless one of its blocks says not to.
  private func checkProgram(_ blocks: [MarkdownSample], in folder: URL) throws {
    let name = "sample-\(blocks[0].line)"
    let source = folder.appending(path: name).appending(path: "main.swift")
    try FileManager.default.createDirectory(
      at: source.deletingLastPathComponent(), withIntermediateDirectories: true)
    // Messages of the compiler name the page's lines.
    let text = blocks.map { block in
      "#sourceLocation(file: \"\(block.page)\", line: \(block.line + 1))\n\(block.text)#sourceLocation()\n"
    }.joined()
    try Data(text.utf8).write(to: source)
    let program = folder.appending(path: name).appending(path: "program")
    try run(build.compilation(of: source, to: program), in: folder)
    if !blocks.contains(where: { $0.mark == .buildOnly }) { try run([program.path], in: folder) }
  }

  /// Runs a command to its end, with this build's `vbench` on the path and nothing of the user's.
  ///
  /// - Returns: Its output.
  /// - Throws: `Fault` with all that it printed where its status is not 0.
  @discardableResult private func run(_ arguments: [String], in folder: URL) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.currentDirectoryURL = folder
    var environment = ProcessInfo.processInfo.environment
    environment["PATH"] = build.folder.path + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
    environment["XDG_CACHE_HOME"] = scratch.appending(path: "cache").path
    for name in ["VBENCH_ISA", "VBENCH_THREADS"] { environment[name] = nil }
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    // Files instead of pipes: a full pipe would stop the process.
    let (output, error) = (scratch.appending(path: "output"), scratch.appending(path: "error"))
    for (url, key) in [(output, \Process.standardOutput), (error, \Process.standardError)] {
      try Data().write(to: url)
      process[keyPath: key] = try FileHandle(forWritingTo: url)
    }
    try process.run()
    process.waitUntilExit()
    let text = try String(contentsOf: output, encoding: .utf8)
    guard process.terminationStatus == 0 else {
      let errors = try String(contentsOf: error, encoding: .utf8)
      throw MarkdownSample.Fault(
        description: "\(arguments.joined(separator: " "))\n-> \(process.terminationStatus)\n\(text)\(errors)")
    }
    return text
  }
}
