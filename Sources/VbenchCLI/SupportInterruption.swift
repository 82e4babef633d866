import Dispatch
import Foundation
import Synchronization

/// Ctrl-C, SIGTERM and a terminal that was closed (SIGHUP, unless `nohup` has it ignored) as a flag that long work asks for between its steps.
///
/// The first signal sets the flag, so that the work ends with whole files; a second one ends the process at once.
enum Interruption {
  private static let requests = Atomic<Int>(0)
  private static let sources = Mutex<[any DispatchSourceSignal]>([])

  /// Catches the signals from now on.
  static func catchSignals() {
    sources.withLock { sources in
      guard sources.isEmpty else { return }
      for number in [SIGINT, SIGTERM, SIGHUP] where number != SIGHUP || !isIgnored(SIGHUP) {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
        source.setEventHandler {
          if requests.wrappingAdd(1, ordering: .relaxed).newValue > 1 {
            _exit(ExitStatus.interrupted.rawValue)
          }
        }
        source.resume()
        sources.append(source)
      }
    }
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Whether the work is to end: after a signal, or where nobody can be told what it finds.
  static var isRequested: Bool { requests.load(ordering: .relaxed) > 0 || StandardOutput.hasFailed }
}
