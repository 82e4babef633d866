import ConvBackends
import ConvCore
import ConvHarness
import ConvNN
import ConvTestSupport
import Foundation
import Testing

@testable import VbenchCLI

/// What a shell offers at the tab key.
@Suite struct CompletionTests {
  /// What bash offers behind these words, the last of which is half written, in a folder.
  private func offered(_ words: [String], in folder: String = "/") throws -> [String] {
    let script = """
      source "$0"
      cd "$1"; shift
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
      complete_function="$(complete -p vbench | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
      "$complete_function" vbench "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    return try withTemporaryFolder { temporary in
      let path = temporary + "/vbench.bash"
      try AtomicFile.write(
        try CommandLineRunner.run(["--generate-completion-script", "bash"]).output, to: path)
      let arguments = [path, folder, CommandLineRunner.executable] + words
      let outcome = try CommandLineRunner.run(
        ["-c", script] + arguments, executable: "/bin/bash")
      #expect(outcome.status == 0 && outcome.error.isEmpty, "\(outcome)")
      return outcome.output.split(separator: "\n").map(String.init)
    }
  }

  @Test func engines() throws {
    #expect(try offered(["run", "--backends", ""]) == BackendRegistry.names + ["all"])
    #expect(try offered(["run", "--backends", "im2col,wi"]) == ["im2col,winograd"])
    let tiles = try offered(["explain", "--backends", "winograd["])
    #expect(
      tiles.contains("winograd[tile=4x4]") && tiles.allSatisfy { $0.hasPrefix("winograd[") }, "\(tiles)")
    #expect(try offered(["train", "--backend", "na"]) == ["naive"])
    #expect(try offered(["run", "--baseline", "dir"]) == ["direct"])
  }

  @Test func suitesNetworksAndFiles() throws {
    try withTemporaryFolder { folder in
      for name in ["layers.txt", "model.onnx", ".hidden", "rest.json"] {
        try AtomicFile.write("", to: "\(folder)/\(name)")
      }
      try FileManager.default.createDirectory(atPath: folder + "/sub", withIntermediateDirectories: false)
      try AtomicFile.write("", to: folder + "/sub/inner.txt")
      #expect(try offered(["run", "resn"], in: folder) == ["resnet50"])
      let suites = BenchmarkSuite.builtIn.map(\.name)
      for command in [["run"], ["tune"], ["run", "--suite"]] {
        let all = try offered(command + [""], in: folder)
        #expect(Set(suites).isSubset(of: all), "\(command): \(all)")
        #expect(all.contains("layers.txt") && all.contains("sub/") && !all.contains(".hidden"), "\(all)")
      }
      #expect(try offered(["explain", "sub/"], in: folder) == ["sub/inner.txt"])
      #expect(try offered(["compare", "--network", "lenet,res"], in: folder) == ["lenet,resnet18"])
      #expect(try offered(["train", ""], in: folder) == ImageNetwork.all.map(\.name))
      #expect(try Set(offered(["run", "--onnx", ""], in: folder)) == ["model.onnx", "sub"])
      #expect(try offered(["run", "--output", ""], in: folder) == ["sub"])
      #expect(try Set(offered(["run", "--plan", ""], in: folder)) == ["rest.json", "sub"])
    }
  }

  @Test func namesOfOtherThings() throws {
    #expect(try offered(["run", "--passes", "forward,backward-f"]) == ["forward,backward-filter"])
    #expect(try offered(["run", "--cache", ""]) == CacheState.allCases.map(\.rawValue))
    #expect(try offered(["list", "re"]) == ["references"])
    #expect(try offered(["paper", "fb"]) == ["fbfft"])
    #expect(try offered(["paper", "lavin-gray", "--layers", "conv4.2,conv5"]) == ["conv4.2,conv5"])
  }

  /// The names are in the scripts of all shells, or asked for.
  @Test(arguments: ["bash", "zsh", "fish"]) func scripts(_ shell: String) throws {
    let script = try CommandLineRunner.run(["--generate-completion-script", shell])
    #expect(script.status == 0)
    for name in BackendRegistry.names + ImageNetwork.all.map(\.name) + PaperPack.all.map(\.name) {
      #expect(script.output.contains(name), "\(name) is missing in \(shell)")
    }
    #expect(script.output.contains("---completion run"), "nothing is asked for in \(shell)")
  }

  /// What is half written is no file of arguments.
  @Test func argumentFilesAreNotReadMeanwhile() throws {
    #expect(try offered(["run", "@none.args", "--backends", "fo"]).isEmpty)
    #expect(try offered(["run", "@none.args", "--baseline", "im"]) == ["im2col"])
    #expect(try offered(["run", "@none.args", "--backends", "im"]) == ["im2col"])
  }

  /// Files and folders, lists and names of every command have a completion.
  @Test func everyOptionOfNamesHasOne() throws {
    for option in try HelpTests.options() where !["cmd", "regex", "name:sizes"].contains(option.unit) {
      let isFree = ["count", "seconds", "number", "images", "size", "percentage", "seed"].contains(
        option.unit)
      // Lists of numbers, and problems that nothing else may stand for.
      let isOwn =
        ["threads", "workspace"].contains(option.name)
        || (option.command == "check" && option.unit == "problem")
        || (option.command == "report" && option.name == "layers")
      #expect(
        option.hasCompletion != (isFree || isOwn), "\(option.command) --\(option.name) <\(option.unit)>")
    }
  }
}
