import ConvCore
import Foundation
import Synchronization

/// What commands say on standard output: the one room that writes there.
///
/// A line is written whole and at once, so that whoever reads through a pipe sees it when it is said. A write that fails (a full
/// disk, a closed descriptor) is said on standard error, asks long work to end as Ctrl-C does (`Interruption`), so that its files
/// are whole, and makes the exit code 74. A reader that went away (`vbench list | head`) is no failure: what it does not want is
/// dropped, and work goes on, as it may write files.
enum StandardOutput {
  private enum State: Int {
    case open, unread, failed
  }

  private static let state = Atomic<Int>(State.open.rawValue)

  /// Whether a write has failed for another reason than a reader that went away.
  static var hasFailed: Bool { state.load(ordering: .relaxed) == State.failed.rawValue }

  /// Writes a line; what a terminal would obey in it, newlines too, is written out.
  static func line(_ text: String) { put(QuotedText.visible(text) + "\n") }

  /// Writes text of one or several lines and what ends it. Names in it have had their newlines written out before.
  static func write(_ text: String, terminator: String = "\n") {
    put(QuotedText.visible(lines: text) + terminator)
  }

  private static func put(_ text: String) {
    guard state.load(ordering: .relaxed) == State.open.rawValue,
      let code = WholeWrite.write(text, to: STDOUT_FILENO)
    else { return }
    state.store((code == EPIPE ? State.unread : .failed).rawValue, ordering: .relaxed)
    if code != EPIPE {
      Terminal.warn("error: cannot write to standard output: \(String(cString: strerror(code)))")
    }
  }
}

/// Input, output and errors of the process.
enum StandardDescriptors {
  /// Fills the places of those that are closed, so that no file that is opened later gets written what is meant for them.
  ///
  /// What stands there refuses, as the closed descriptor would have: it is opened the wrong way round.
  static func occupy() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
      // The lowest free number is taken, which is this one: those below are open.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}
