import ConvCore
import Foundation

/// A command that is run in one folder again and again.
struct Story {
  let name: String
  /// Its arguments, and those of running it again after an end that was none of its own; nil where it is the same.
  let arguments: [String]
  let again: [String]?
  /// The files that it reads in its folder.
  let inputs: [String: String]
  /// What a run that ends well leaves.
  let results: [String]

  private static let layers = """
    conv2d:n1c8h14w14k8r3s3p1 first
    conv2d:n2c16h10w12k24r3s3p1 second*3
    conv2d:n1c8h9w9k8r5s5p2u2 third

    """
  private static let layerOptions = [
    "--suite", "layers.txt", "--backends", "im2col,winograd,direct", "--threads", "1",
  ]

  /// A peer that declines all but being asked, takes its time, and starts a process of its own.
  private static let peer = """
    sleep 600 &
    while read -r line; do
      case $line in
        *'"hello"'*) echo '{"peer": "fake", "version": "7", "configurations": ["plain"]}' ;;
        *) sleep 0.02; echo '{"error": "not today"}' ;;
      esac
    done

    """

  static let all = [
    Story(
      name: "run",
      arguments: ["run"] + layerOptions + [
        "--network", "seed-cnn", "--steps", "2", "--batch", "4", "--budget", "0.02", "--rounds", "3",
        "--visits", "2",
        "--output", "out",
      ],
      again: nil, inputs: ["layers.txt": layers],
      results: [
        "out/results.csv", "out/samples.csv", "out/training.csv", "out/report.md", "out/report.html",
        "out/run.json",
      ]),
    Story(
      name: "resume",
      arguments: ["run"] + layerOptions + [
        "--passes", "forward", "--budget", "0.02", "--rounds", "3", "--visits", "3", "--output", "out",
      ],
      again: ["run"] + layerOptions + [
        "--passes", "forward", "--budget", "0.02", "--rounds", "3", "--visits", "3", "--resume", "out",
      ], inputs: ["layers.txt": layers],
      results: ["out/results.csv", "out/report.md", "out/report.html", "out/run.json"]),
    Story(
      name: "train",
      arguments: [
        "train", "seed-cnn", "--backend", "winograd", "--fallback", "im2col", "--limit", "256", "--epochs",
        "2", "--batch-size", "32",
        "--threads", "1", "--checkpoint", "seed.safetensors",
      ], again: nil, inputs: [:], results: ["seed.safetensors"]),
    Story(
      name: "tune",
      arguments: ["tune"] + layerOptions + [
        "--passes", "forward", "--budget", "0.02", "--rounds", "3", "--output", "plan.json",
      ], again: nil, inputs: ["layers.txt": layers], results: ["plan.json"]),
    Story(
      name: "compare",
      arguments: ["compare"] + layerOptions + [
        "--peer", "sh peer.sh", "--rounds", "3", "--seconds", "0.02", "--output", "out",
      ], again: nil, inputs: ["layers.txt": layers, "peer.sh": peer],
      results: ["out/comparison.csv", "out/comparison.md"]),
  ]

  /// Writes the inputs into a folder.
  func prepare(_ folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, text) in inputs { try AtomicFile.write(text, to: "\(folder)/\(name)") }
  }
}
