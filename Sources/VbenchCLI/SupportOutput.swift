import ConvCore
import Foundation
import Synchronization

/// What commands say on standard output: the one room that writes there.
///
/// A line is written whole and at once, so that whoever reads through a pipe sees it when it is said. A write that fails (a full
/// disk, a closed descriptor) is said on standard error, asks long work to end as Ctrl-C does (`Interruption`), and makes the exit
/// code 74. A reader that went away (`vbench list | head`) is no failure: what it does not want is dropped, and work that
/// writes files goes on.
enum StandardOutput {
  private enum State: Int {
    case open, unread, failed
  }

  private static let state = Atomic<Int>(State.open.rawValue)

  /// Whether a write has failed for another reason than a reader that went away.
  static var hasFailed: Bool { state.load(ordering: .relaxed) == State.failed.rawValue }

  /// Writes text and what ends it.
  static func write(_ text: String, terminator: String = "\n") {
    guard state.load(ordering: .relaxed) == State.open.rawValue else { return }
    let code = write(Array((text + terminator).utf8))
    if code == 0 { return }
    state.store((code == EPIPE ? State.unread : .failed).rawValue, ordering: .relaxed)
    if code != EPIPE {
      Terminal.warn("error: cannot write to standard output: \(String(cString: strerror(code)))")
    }
  }

  /// All bytes, in as many writes as it takes.
  ///
  /// - Returns: the system's error code; 0 where there is none.
  private static func write(_ bytes: [UInt8]) -> Int32 {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Foundation.write(STDOUT_FILENO, $0.baseAddress! + done, bytes.count - done)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return count == 0 ? ENOSPC : errno }
      done += count
    }
    return 0
  }
}
