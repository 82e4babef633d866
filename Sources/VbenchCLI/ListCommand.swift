import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import Foundation

/// `vbench list`: what there is to run.
struct ListCommand: ParsableCommand {
  /// What can be listed.
  enum Subject: String, CaseIterable {
    case backends, suites, networks, references
  }

  /// How the table is printed.
  enum TableFormat: String, CaseIterable, ExpressibleByArgument {
    case table, csv
  }

  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists backends, suites, networks or stored references.",
    discussion: """
      EXAMPLES
        vbench list backends            the engines of this build, and what each of them supports
        vbench list suites              the layers that `vbench run --suite NAME` measures
        vbench list references          the stored cases that `vbench check` runs
        vbench list suites --format csv
      """)

  @Argument(
    help: "backends, suites, networks or references.", completion: .list(Subject.allCases.map(\.rawValue)))
  var subject: String

  @Option(help: ArgumentHelp("table (for people) or csv (for programs).", valueName: "name"))
  var format: TableFormat = .table

  @OptionGroup var references: ReferencesOption

  func run() throws {
    let table =
      switch try chosenSubject() {
      case .backends: backends()
      case .suites: suites()
      case .networks: networks()
      case .references: try storedReferences()
      }
    StandardOutput.write(format == .csv ? table.csv : table.text)
  }

  private func chosenSubject() throws -> Subject {
    if let chosen = Subject(rawValue: subject) { return chosen }
    if let error = MisplacedNameError(subject, wanted: "a list", nil, in: .list) { throw error }
    throw UnknownNameError(kind: "list", name: subject, known: Subject.allCases.map(\.rawValue))
  }

  /// One row per engine and pass; the cells come from the engine's own answers on one problem per column.
  private func backends() -> TextTable {
    let probes: [(String, String, ElementType)] = [
      ("3x3", "conv2d:n2c16h14w14k16r3s3p1", .float32), ("5x5", "conv2d:n2c16h14w14k16r5s5p2", .float32),
      ("1x1", "conv2d:n2c16h14w14k16r1s1", .float32), ("11x11", "conv2d:n2c16h14w14k16r11s11p5", .float32),
      ("stride 2", "conv2d:n2c16h14w14k16r3s3p1u2x2", .float32),
      ("dilation 2", "conv2d:n2c16h14w14k16r3s3p2l2x2", .float32),
      ("groups", "conv2d:n2c16h14w14k16r3s3p1g4", .float32), ("1-D", "conv1d:n2c16w64k16s3p1", .float32),
      ("3-D", "conv3d:n2c4d6h6w6k4t3r3s3p1", .float32), ("float64", "conv2d:n2c16h14w14k16r3s3p1", .float64),
    ]
    var table = TextTable(["backend", "pass"] + probes.map(\.0) + ["threads"])
    for backend in BackendRegistry.all {
      for pass in ConvPass.allCases {
        table.add(
          [backend.name, pass.rawValue]
            + probes.map { _, text, elementType in
              guard let problem = try? ConvProblem(parsing: text) else { return "?" }
              let operation = ConvOperation(pass, problem, elementType: elementType)
              return backend.support(for: operation, PlanOptions()).isSupported ? "yes" : "no"
            } + [backend.threading == .workerPool ? "pool, same bits" : "own, bits may differ"])
      }
    }
    return table
  }

  private func suites() -> TextTable {
    var table = TextTable(["suite", "layers", "what it is"], rightAligned: [1])
    for suite in BenchmarkSuite.builtIn {
      table.add([suite.name, "\(suite.problems.count)", suite.summary])
    }
    return table
  }

  private func networks() -> TextTable {
    var table = TextTable(["network", "input", "batch", "what it is"], rightAligned: [2])
    for network in ImageNetwork.all {
      table.add([network.name, network.input, "\(network.batch)", network.summary])
    }
    return table
  }

  private func storedReferences() throws -> TextTable {
    let folder = try references.folder()
    var operations: [String: (cases: Int, tensors: Int, bytes: Int)] = [:]
    for name in try FileTree.files(below: folder, suffix: ".safetensors") {
      let path = folder + "/" + name
      let file = try SafetensorsFile(path: path)
      guard file.metadata["format"] == "vbench-reference-1", let operation = file.metadata["op"] else {
        let found = file.metadata["format"].map { "'\($0)'" } ?? "none"
        throw FileError.malformed(
          path: path, reason: "its metadata format is \(found), expected 'vbench-reference-1' and an op")
      }
      var entry = operations[operation] ?? (0, 0, 0)
      entry.cases += 1
      entry.tensors += file.names.count
      entry.bytes += file.dataBytes
      operations[operation] = entry
    }
    var table = TextTable(["operation", "cases", "tensors", "bytes"], rightAligned: [1, 2, 3])
    for (operation, entry) in operations.sorted(by: { $0.key < $1.key }) {
      table.add([operation, "\(entry.cases)", "\(entry.tensors)", "\(entry.bytes)"])
    }
    return table
  }
}
