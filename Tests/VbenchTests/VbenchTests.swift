import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// Messages and exit codes of the commands that measure nothing.
@Suite struct CommandTests {
  private func expect(
    _ arguments: [String], environment: [String: String] = [:], status: Int32, _ words: String...,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let outcome = try CommandLineRunner.run(arguments, environment: environment)
    #expect(outcome.status == status, "\(outcome)", sourceLocation: sourceLocation)
    for word in words {
      #expect(
        (outcome.output + outcome.error).contains(word), "'\(word)' is missing: \(outcome)",
        sourceLocation: sourceLocation)
    }
    // Errors belong to standard error, results to standard output.
    if status == 0 {
      #expect(!outcome.output.isEmpty, "\(outcome)", sourceLocation: sourceLocation)
    } else {
      #expect(outcome.output.isEmpty && !outcome.error.isEmpty, "\(outcome)", sourceLocation: sourceLocation)
    }
  }

  @Test func helpAndVersion() throws {
    try expect(["--version"], status: 0, "0.1.0")
    try expect(["--help"], status: 0, "EXIT CODES", "train", "list", "info", "VBENCH_THREADS")
    try expect([], status: 0, "SUBCOMMANDS")
    for command in ["train", "list", "info", "compare"] {
      try expect([command, "--help"], status: 0, "EXAMPLE", "vbench \(command)")
    }
  }

  /// The help texts as stored; `VBENCH_UPDATE_SNAPSHOTS=1 swift test --filter snapshots` writes them anew.
  @Test(arguments: ["train", "list", "info", "compare"]) func snapshots(_ command: String) throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Snapshots").path
    let path = "\(folder)/help-\(command).txt"
    let text = try CommandLineRunner.run([command, "--help"]).output
    if ProcessInfo.processInfo.environment["VBENCH_UPDATE_SNAPSHOTS"] != nil {
      try AtomicFile.write(text, to: path)
    }
    let stored = try InputFile.text(of: path)
    #expect(text == stored, "vbench \(command) --help differs from \(path)")
  }

  @Test func usageErrors() throws {
    try expect(["frobnicate"], status: 64, "frobnicate")
    try expect(["list"], status: 64, "subject")
    try expect(["list", "backend"], status: 64, "backends", "suites")
    try expect(["list", "suites", "--format", "xml"], status: 64, "csv")
    try expect(["info", "--openblas-core", "Nonesuch"], status: 64, "Nonesuch")
    try expect(["info"], environment: ["VBENCH_ISA": "mmx"], status: 64, "mmx", "baseline")
    try expect(["train"], status: 64, "model")
    try expect(["train", "seed-cmn"], status: 64, "unknown network 'seed-cmn'", "did you mean 'seed-cnn'?")
    try expect(["train", "seed-cnn", "--backend", "winogard"], status: 64, "winogard", "winograd")
    try expect(["train", "seed-cnn", "--fallback", "navie"], status: 64, "navie", "naive")
    try expect(["train", "seed-cnn", "--backend", "im2col["], status: 64, "im2col[")
    for (option, value) in [
      ("--epochs", "0"), ("--batch-size", "-1"), ("--limit", "0"), ("--threads", "0"),
      ("--threads", "100000"),
      ("--lr", "-1"), ("--lr", "nan"), ("--momentum", "1"), ("--epochs", "three"),
    ] {
      try expect(["train", "seed-cnn", "\(option)=\(value)"], status: 64, option)
    }
    try expect(["train", "seed-cnn", "--optimizer", "lion"], status: 64, "adam", "sgd")
  }

  @Test func comparisonsThatCannotBegin() throws {
    // The checkout need not be writable.
    let never = FileManager.default.temporaryDirectory.appending(path: "vbench-never-\(UUID().uuidString)")
      .path
    let output = ["--output", never]
    try expect(["compare", "--suite", "vgg16"], status: 64, "output")
    try expect(["compare"] + output, status: 64, "--suite", "--network")
    try expect(["compare", "--suite", "vgg61"] + output, status: 64, "vgg61", "vgg16")
    try expect(["compare", "--suite", "vgg16", "--threads", "1,two"] + output, status: 64, "'two'")
    try expect(["compare", "--suite", "vgg16", "--threads", "0"] + output, status: 64, "--threads")
    try expect(["compare", "--suite", "vgg16", "--rounds", "0"] + output, status: 64, "--rounds")
    try expect(["compare", "--suite", "vgg16", "--seconds", "0"] + output, status: 64, "--seconds")
    try expect(["compare", "--suite", "vgg16", "--backends", "winogard"] + output, status: 64, "winograd")
    try expect(["compare", "--network", "seed-cmn"] + output, status: 64, "seed-cnn")
    try expect(["compare", "--network", "vgg11,resnet81"] + output, status: 64, "resnet18")
    try expect(
      ["compare", "--network", "vgg11", "--fallback", "direct,naive"] + output, status: 64, "--fallback")
    try expect(["compare", "--network", "vgg11", "--format", "nhcw"] + output, status: 64, "nhwc")
    try expect(["run", "--network", "lenet,resnet81"], status: 64, "resnet81", "resnet18")
    try expect(["run", "--network", "lenet", "--fallback", "nobody"], status: 64, "nobody")
    try expect(["run", "--network", "lenet", "--steps", "1"], status: 64, "--steps")
    try expect(
      ["compare", "--suite", "vgg16", "--peer", "echo no torch here >&2; exit 3"] + output, status: 74,
      "exit status 3", "no torch here")
    #expect(!FileManager.default.fileExists(atPath: never))
  }

  /// A peer that declines everything: both files are there, and say so.
  @Test func comparisonsAreWritten() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("conv2d:n1c2h4w4k2r1s1 one\n", to: folder + "/layers.txt")
      try AtomicFile.write(
        """
        while read -r line; do
          case $line in
            *'"hello"'*) echo '{"peer": "fake", "version": "7", "configurations": ["plain"]}' ;;
            *) echo '{"error": "not today"}' ;;
          esac
        done
        """, to: folder + "/peer.sh")
      let outcome = try CommandLineRunner.run([
        "compare", "--peer", "sh \(folder)/peer.sh", "--suite", folder + "/layers.txt", "--backends", "naive",
        "--passes", "forward", "--threads", "1", "--network", "seed-cnn", "--batch", "1", "--output",
        folder + "/out",
      ])
      #expect(outcome.status == 0 && outcome.output.contains("comparison.md"), "\(outcome)")
      let csv = try InputFile.text(of: folder + "/out/comparison.csv")
      let lines = csv.split(separator: "\n")
      #expect(lines.count == 3 && lines[0].hasPrefix("suite,problem,name,group,pass,backend,threads,"))
      #expect(lines[1].contains(",one,") && lines[1].contains(",fake,7,") && lines[1].contains("not today"))
      #expect(lines[2].contains("training step"))
      let text = try InputFile.text(of: folder + "/out/comparison.md")
      #expect(text.contains("fake 7 (plain)") && text.contains("unsupported, plain: not today"), "\(text)")
    }
  }

  @Test func lists() throws {
    try expect(["list", "backends"], status: 0, "naive", "im2col", "winograd", "backward-filter")
    try expect(["list", "suites"], status: 0, "resnet50", "vgg16", "large-kernel")
    try expect(
      ["list", "networks"], status: 0, "seed-cnn", "resnet18", "3x64x64", "lenet", "1x28x28", "alexnet",
      "mobilenet-v2")
    try expect(["list", "references"], status: 0, "conv2d", "161")
    try expect(["list", "suites", "--format", "csv"], status: 0, "suite,layers,")
  }

  @Test func info() throws {
    try expect(["info"], status: 0, "CPU", "caches", "instruction set", "zlib", "Swift")
    try expect(["info"], environment: ["VBENCH_ISA": "baseline"], status: 0, "instruction set  baseline")
    try expect(["info"], environment: ["VBENCH_THREADS": "1"], status: 0, "worker threads   1")
  }

  #if OpenBLAS
    /// The core is named with its reason, whichever OpenBLAS picks; the oldest core is warned about where the CPU has more.
    @Test func openBLASCore() throws {
      func info(_ arguments: [String], variable: String) throws -> (CommandLineRunner.Outcome, core: String) {
        let outcome = try CommandLineRunner.run(
          ["info"] + arguments, environment: ["OPENBLAS_CORETYPE": variable])
        let match = outcome.output.firstMatch(
          of: #/OpenBLAS +[0-9][^ ]*, core ([^ ]+) \([^\n]+\), 1 thread per worker/#)
        return (outcome, match.map { String($0.output.1) } ?? "")
      }
      let (plain, core) = try info([], variable: "")
      #expect(plain.status == 0 && !core.isEmpty && plain.output.contains("core \(core): "), "\(plain)")
      #expect(!plain.output.contains("OPENBLAS_CORETYPE"), "\(plain)")
      // The oldest core is better than none: the choice is the same as without the variable.
      let (overridden, same) = try info([], variable: "Prescott")
      #expect(overridden.status == 0 && same == core, "\(overridden)")
      let isOther = core.lowercased() != "prescott"
      #expect(
        overridden.output.contains("OPENBLAS_CORETYPE=Prescott is not followed") == isOther, "\(overridden)")
      let (followed, own) = try info(["--openblas-core", "env"], variable: core)
      #expect(followed.status == 0 && own == core, "\(followed)")
      #expect(followed.output.contains("core \(core) (OPENBLAS_CORETYPE)"), "\(followed)")
      // Not every OpenBLAS has the oldest core.
      let (oldest, prescott) = try info(["--openblas-core", "env"], variable: "Prescott")
      if oldest.status == 0 {
        #expect(prescott.lowercased() == "prescott", "\(oldest)")
        let warning = VectorLevel.base.warning(
          library: "OpenBLAS", code: "its core Prescott (SSE)", engine: "im2col[gemm=openblas]", cpu: .cpu)
        #expect(oldest.output.hasPrefix(warning.map { "warning: \($0)\n" } ?? "vbench"), "\(oldest)")
        let run = try CommandLineRunner.run(
          ["explain", "conv2d:n1c4h8w8k4r3s3p1", "--passes", "forward"],
          environment: ["OPENBLAS_CORETYPE": "Prescott"])
        let note = run.error.hasPrefix("note: OpenBLAS runs its core \(core): ")
        #expect(run.status == 0 && note == isOther, "\(run)")
        let slow = try CommandLineRunner.run([
          "explain", "conv2d:n1c4h8w8k4r3s3p1", "--passes", "forward", "--openblas-core", "Prescott",
        ])
        #expect(
          slow.status == 0 && warning.map { slow.error.contains("warning: \($0)\n") } != false, "\(slow)")
      } else {
        #expect(oldest.status == 64 && oldest.error.contains("Prescott"), "\(oldest)")
      }
    }
  #endif

  @Test func damagedReferences() throws {
    try withTemporaryFolder { folder in
      try expect(["list", "references", "--references", folder + "/none"], status: 66, folder + "/none")
      try AtomicFile.write([9, 0, 0, 0, 0, 0, 0, 0, 0x7B], to: folder + "/short.safetensors")
      try expect(["list", "references", "--references", folder], status: 65, "short.safetensors", "9 bytes")
      try AtomicFile.write([2, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D], to: folder + "/short.safetensors")
      try expect(["list", "references", "--references", folder], status: 65, "vbench-reference-1")
    }
  }

  /// A reader that goes away ends nothing but the output.
  @Test func brokenPipe() throws {
    let process = CommandLineRunner.process([
      "-c", "\"$0\" list references --format csv | head -n 1", CommandLineRunner.executable,
    ])
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(output == "operation,cases,tensors,bytes\n" && process.terminationStatus == 0)
  }
}
