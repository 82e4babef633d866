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
  let seeds: [CommandInput]
  /// Options of the command, with values after `=` where they take one.
  let options: [String]

  /// All kinds, with the stored inputs of the readers of files (`Tests/Fuzz/corpus`) as their files.
  static func all(corpus: String) throws -> [CommandKind] {
    func inputs(_ reader: String) throws -> [[UInt8]] {
      let folder = URL(fileURLWithPath: corpus).appending(path: reader)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
      return try names.map { [UInt8](try Data(contentsOf: folder.appending(path: $0))) }
    }
    let problems =
      problems + (try inputs("problem")).map { String(decoding: $0.filter { $0 != 0 }, as: UTF8.self) }
    let list = ["run", "--list"]
    let report = try inputs("report").map(runFolder)
    return [
      CommandKind(
        name: "list", seeds: problems.map { CommandInput(fixed: list, arguments: [$0]) }, options: selection),
      CommandKind(
        name: "list --suite",
        seeds: try inputs("batch").map {
          CommandInput(fixed: list, arguments: ["--suite", "batch"], files: ["batch": $0])
        }, options: selection),
      CommandKind(
        name: "list @file",
        seeds: problems.map {
          CommandInput(
            fixed: list, arguments: ["@arguments"],
            files: ["arguments": Array("--passes forward\n\($0)\n".utf8)])
        }, options: selection),
      CommandKind(
        name: "list --onnx",
        seeds: try inputs("onnx").flatMap { model in
          [[], ["--batch", "4"], ["--shapes", "x:1x3x32x32"]].map {
            CommandInput(fixed: list, arguments: ["--onnx", "model.onnx"] + $0, files: ["model.onnx": model])
          }
        }, options: selection),
      CommandKind(
        name: "explain", seeds: problems.map { CommandInput(fixed: ["explain"], arguments: [$0]) },
        options: [
          "--backends=all", "--backends=winograd[tile=4x4]", "--backends=fft", "--threads=2",
          "--workspace=1KiB",
          "--passes=backward-filter", "--format=nchw", "--filter-state=prepared", "--plan=arguments",
          "--seed=7",
        ]),
      CommandKind(
        name: "check",
        seeds: try inputs("reference").map {
          CommandInput(
            fixed: ["check", "--references", "case.safetensors"], arguments: ["--threads", "1"],
            files: ["case.safetensors": $0])
        },
        options: [
          "--backends=naive,im2col", "--passes=forward", "--element-type=float64", "--junit=j.xml",
          "--verbose",
        ]),
      CommandKind(
        name: "report", seeds: report.map { CommandInput(fixed: ["report"], arguments: ["run"], files: $0) },
        options: ["--help"]),
      CommandKind(
        name: "diff",
        seeds: report.map { files in
          CommandInput(
            fixed: ["diff"], arguments: ["run", "after"],
            files: files.merging(files.map { ($0.key.replacing("run/", with: "after/"), $0.value) }) { $1 })
        }, options: ["--threshold=5%", "--threshold=0.05", "--normalize=none", "--normalize=auto"]),
    ]
  }

  private static let problems = [
    "conv2d:n1c8h8w8k8r3s3p1", "conv1d:n2c3w17k4s5u2l2", "conv3d:n1c2d5h5w5k3t3r3s3p1",
    "conv2d:n2c6h9w7k6r3s3g3u2v1p1q0l2", "mb1ic3ih8oc4oh8kh3ph1n\"name\"",
  ]

  private static let selection = [
    "--match=c8", "--match=(a|a)*b", "--passes=forward", "--passes=all", "--threads=2", "--format=nchw",
    "--filter-state=prepared", "--batch=4", "--shapes=x:1x3x8x8", "--suite=resnet50", "--suite=*", "--seed=3",
    "--rounds=5", "--visits=2", "--budget=0.1", "--backends=all", "--baseline=direct", "@arguments", "@@",
    "--network=seed-cnn",
  ]

  /// The files of a run, which stored inputs hold one behind the other with lines `%` between them.
  private static func runFolder(_ bytes: [UInt8]) -> [String: [UInt8]] {
    let names = ["run.json", "results.csv", "samples.csv", "training.csv", "layers.csv", "trajectory.csv"]
    let parts = String(decoding: bytes, as: UTF8.self).components(separatedBy: "%\n")
    return Dictionary(zip(names.map { "run/\($0)" }, parts.map { Array($0.utf8) })) { first, _ in first }
  }
}
