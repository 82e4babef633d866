import Foundation

/// Arguments and files that a command is started with.
struct CommandInput {
  /// The first arguments, which stay: nothing that measures is ever started.
  var fixed: [String]
  var arguments: [String]
  /// By their path within the folder that the command runs in.
  var files: [String: [UInt8]] = [:]

  var all: [String] { fixed + arguments }
}

/// A way to use a command, and inputs that it knows.
struct CommandKind {
  let name: String
  /// Inputs that are right, and those that fuzzing of the readers left, most of which are not.
  let right, stored: [CommandInput]
  /// Options of the command.
  let options: [String]

  private init(
    _ name: String, right: [[UInt8]], stored: [[UInt8]], options: [String],
    input: ([UInt8]) -> CommandInput
  ) {
    self.name = name
    self.right = right.map(input)
    self.stored = stored.map(input)
    self.options = options
  }

  /// All kinds; files are those of `Tests/Fuzz/corpus`, `References`, `Reports` and `Peers` of a checkout.
  static func all(checkout: String) throws -> [CommandKind] {
    func files(_ folder: String, ending: String = "", below limit: Int = 65536) throws -> [[UInt8]] {
      let folder = URL(fileURLWithPath: checkout).appending(path: folder)
      let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted()
      return try names.filter { $0.hasSuffix(ending) }.compactMap {
        let bytes = try? Data(contentsOf: folder.appending(path: $0))
        return bytes.flatMap { $0.count < limit ? [UInt8]($0) : nil }
      }
    }
    let problems = problems.map { Array($0.utf8) }
    let problemTexts = try files("Tests/Fuzz/corpus/problem")
    let batches = problems + [Array(Self.batch.utf8), try files("Peers", ending: "layers.txt")[0]]
    let (models, modelTexts) = (
      try files("References/models", ending: ".onnx"), try files("Tests/Fuzz/corpus/onnx")
    )
    let cases = try files("References/cases", ending: ".safetensors", below: 8192)
    let reports = try files("Tests/Fuzz/corpus/report")
    let run = try run(
      networks: "\(checkout)/Reports/zen3-avx2-networks",
      layers: "\(checkout)/Reports/zen5-avx512-run")
    let list = ["run", "--list"]
    return [
      CommandKind("list", right: problems, stored: problemTexts, options: selection) {
        CommandInput(fixed: list, arguments: [argument($0)])
      },
      CommandKind(
        "list --suite", right: batches, stored: try files("Tests/Fuzz/corpus/batch"), options: selection
      ) {
        CommandInput(fixed: list, arguments: ["--suite", "batch"], files: ["batch": $0])
      },
      CommandKind("list @file", right: problems, stored: problemTexts, options: selection) {
        CommandInput(
          fixed: list, arguments: ["@arguments"],
          files: ["arguments": Array("--passes forward\n".utf8) + $0 + [UInt8(ascii: "\n")]])
      },
      CommandKind("list --onnx", right: models, stored: modelTexts, options: selection) {
        CommandInput(
          fixed: list, arguments: ["--onnx", "model.onnx", "--batch", "4"], files: ["model.onnx": $0])
      },
      CommandKind("explain", right: problems, stored: problemTexts, options: explaining) {
        CommandInput(fixed: ["explain"], arguments: [argument($0)])
      },
      CommandKind("check", right: cases, stored: try files("Tests/Fuzz/corpus/reference"), options: checking)
      {
        CommandInput(
          fixed: ["check", "--references", "case.safetensors"], arguments: ["--threads", "1"],
          files: ["case.safetensors": $0])
      },
      CommandKind("report", right: [run], stored: reports, options: ["--help"]) {
        CommandInput(fixed: ["report"], arguments: ["run"], files: runFiles($0, in: "run"))
      },
      CommandKind("diff", right: [run], stored: reports, options: comparing) {
        CommandInput(
          fixed: ["diff"], arguments: ["run", "after"],
          files: runFiles($0, in: "run").merging(runFiles($0, in: "after")) { $1 })
      },
    ]
  }

  /// Bytes as an argument, which ends at a zero.
  private static func argument(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self)
  }

  private static let problems = [
    "conv2d:n1c8h8w8k8r3s3p1", "conv1d:n2c3w17k4s5u2l2", "conv3d:n1c2d5h5w5k3t3r3s3p1",
    "conv2d:n2c6h9w7k6r3s3g3u2v1p1q0l2", "mb1ic3ih8oc4oh8kh3ph1n\"name\"",
  ]

  private static let batch = """
    --reset --dir=FWD_B,BWD_D --mb=2
    --match=ic3
    mb1ic3ih8oc4oh8kh3ph1n"first"
    # a comment
    g2mb1ic4ih9iw7oc6oh9ow7kh3kw3ph1pw1n"second*3"
    conv3d:n1c2d5h5w5k3t3r3s3p1 a*2 third
    """

  private static let explaining = [
    "--backends=all", "--backends=winograd[tile=4x4]", "--backends=fft", "--threads=2", "--workspace=1KiB",
    "--passes=backward-filter", "--format=nchw", "--filter-state=prepared", "--plan=arguments", "--seed=7",
  ]
  private static let checking = [
    "--backends=naive,im2col", "--passes=forward", "--element-type=float64", "--junit=j.xml", "--verbose",
  ]
  private static let comparing = [
    "--threshold=5%", "--threshold=0.05", "--normalize=none", "--normalize=auto",
  ]
  private static let selection = [
    "--match=c8", "--match=(a|a)*b", "--passes=forward", "--passes=all", "--threads=2", "--format=nchw",
    "--filter-state=prepared", "--batch=4", "--shapes=x:1x3x8x8", "--suite=resnet50", "--suite=*", "--seed=3",
    "--rounds=5", "--visits=2", "--budget=0.1", "--backends=all", "--baseline=direct", "@arguments", "@@",
    "--network=seed-cnn",
  ]

  private static let runNames = [
    "run.json", "results.csv", "samples.csv", "training.csv", "layers.csv", "trajectory.csv",
  ]

  /// The files of a small run one behind the other, with lines `%` between them: what `networks` has of networks, and the first rows
  /// of `layers` with their samples, whose lines end with the number of the row.
  private static func run(networks: String, layers: String) throws -> [UInt8] {
    func lines(_ name: String, _ holds: (Int, Substring) -> Bool) throws -> String {
      let text = try String(contentsOfFile: "\(layers)/\(name)", encoding: .utf8)
      let lines = text.split(separator: "\n").enumerated().filter { $0 == 0 || holds($0, $1) }
      return lines.map { $1 + "\n" }.joined()
    }
    let rows = 12
    let files = try runNames.map { name in
      switch name {
      case "results.csv": try lines(name) { index, _ in index <= rows }
      case "samples.csv": try lines(name) { Int($1.split(separator: ",").last!)! <= rows }
      default: try String(contentsOfFile: "\(networks)/\(name)", encoding: .utf8)
      }
    }
    return Array(files.joined(separator: "%\n").utf8)
  }

  /// The files of a run by their names.
  private static func runFiles(_ bytes: [UInt8], in folder: String) -> [String: [UInt8]] {
    let parts = String(decoding: bytes, as: UTF8.self).components(separatedBy: "%\n")
    return Dictionary(zip(runNames.map { "\(folder)/\($0)" }, parts.map { Array($0.utf8) })) { first, _ in
      first
    }
  }
}
