import ArgumentParser
import ConvCore
import Foundation

/// What the executables of this package call: `vbench`, and those of tests that add engines first.
package enum CommandLineTool {
  /// Runs the command that this process's arguments name, and ends the process where it fails.
  package static func run() { Vbench.main() }
}

/// The command line.
struct Vbench: ParsableCommand {
  /// Version of the package.
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "vbench",
    abstract: "Which convolution engine is right for a network on this machine: how fast, and how wrong.",
    discussion: """
      EXAMPLES
        vbench run                                the default job
        vbench run conv2d:n1c64h56w56k64r3s3p1    one layer on every engine
        vbench run resnet50 --backends winograd,im2col
        vbench compare resnet50 --output out      beside another library
        vbench check                              stored reference numbers
        vbench train seed-cnn --backend winograd  a real training run
        vbench list suites                        what there is
        vbench diff before after                  two stored runs
        vbench report dir                         the report of a stored run, remade
        vbench explain conv2d:n1c64h56w56k64r3s3p1   why auto chooses what
        vbench tune resnet50 -o plan.json         the best engine per layer, for auto
        vbench calibrate                          this machine's prices, for auto
        vbench paper                              published layers and numbers beside ours
        vbench agreement --output out             whether times agree with themselves here
        vbench run @nightly.args                  words of a file as arguments

      ARGUMENT FILES
        @FILE stands for the words of a file, which may be quoted as in a shell;
        # begins a comment, @OTHER reads a file beside it, @@word is @word

      EXIT CODES
        0 good, 1 a verification failed, 2 a regression, 64 usage,
        65 malformed file, 66 missing input, 70 a fault of vbench, 71 no memory
        (or too few files, threads, stack), 73 cannot create output,
        74 input/output error, 130 interrupted

      ENVIRONMENT
        VBENCH_THREADS      threads of the worker pool (default: the processors
                            that affinity and control groups grant, quotas
                            rounded down)
        VBENCH_ISA          avx512, avx2 or baseline; the best of the CPU
        VBENCH_REFERENCES   folder of stored references; that of the checkout
        OPENBLAS_CORETYPE   core of OpenBLAS, with --openblas-core env
        ONEDNN_MAX_CPU_ISA  (or DNNL_MAX_CPU_ISA) limits oneDNN's code
        XDG_CACHE_HOME      keeps vbench/profiles; $HOME/.cache
        NO_COLOR            progress without colours, where it is set
        TERM                dumb: progress in plain lines

      COMPLETIONS
        vbench --generate-completion-script bash, zsh or fish
      """,
    version: version,
    subcommands: [
      RunCommand.self, CompareCommand.self, CheckCommand.self, TrainCommand.self, ListCommand.self,
      InfoCommand.self, ReportCommand.self, DiffCommand.self, ExplainCommand.self, TuneCommand.self,
      CalibrateCommand.self, PaperCommand.self, AgreementCommand.self,
    ])

  /// The arguments of this process, those of argument files in their places.
  private(set) nonisolated(unsafe) static var arguments: [String] = []

  /// Parses, runs, and turns every error into a message and an exit code.
  static func main() {
    StandardDescriptors.occupy()
    Interruption.endAtOnce()
    Terminal.widenHelp()
    // A file that grows beyond the process's limit is an error of write(2), not the end of the process.
    signal(SIGXFSZ, SIG_IGN)
    // So is a reader that went away (vbench list | head).
    signal(SIGPIPE, SIG_IGN)
    do {
      try StartLimits.require()
      let words = try ArgumentFile.ofProcess()
      // What a shell asks completions for is half written: nothing in it is read.
      arguments = try words.first == "---completion" ? words : ArgumentFile.expanded(words)
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch {
      finish(with: error)
    }
    exit(ExitStatus.good.rawValue)
  }

  /// Prints what `error` says and exits with its code.
  static func finish(with error: any Error) -> Never {
    guard let status = ExitStatus(of: error) else { finishParsing(with: error) }
    if status != .interrupted || !"\(error)".isEmpty {
      Terminal.warn(lines: "error: " + QuotedText.tamed("\(error)"))
    }
    // OpenBLAS's own threads wait for ever for memory that they are refused, and ending it waits for them.
    if status == .outOfMemory {
      fflush(nil)
      _exit(status.rawValue)
    }
    exit(status.rawValue)
  }

  /// Ends the process; what could not be said matters more than what was found or that work has ended for it.
  private static func exit(_ code: Int32) -> Never {
    let found = [ExitStatus.good, .verificationFailed, .regression, .interrupted].map(\.rawValue)
    let isUnsaid = StandardOutput.hasFailed && found.contains(code)
    Foundation.exit(isUnsaid ? ExitStatus.inputOutput.rawValue : code)
  }

  /// Presents an error of the argument parser, which repeats arguments however long they are.
  private static func finishParsing(with error: any Error) -> Never {
    let text = fullMessage(for: error)
    let message = arguments.reduce(text) { text, argument in
      let value = argument.split(separator: "=", maxSplits: 1).last.map(String.init) ?? ""
      return [argument, value].reduce(text) { text, part in
        let shown = QuotedText.shortened(part)
        return shown == part ? text : text.replacingOccurrences(of: part, with: shown)
      }
    }
    let code = exitCode(for: error)
    // Help, versions and completion scripts are what was asked for; they exit cleanly.
    if !text.isEmpty {
      if code.isSuccess { StandardOutput.write(text) } else { Terminal.warn(lines: message) }
    }
    exit(code.rawValue)
  }
}
