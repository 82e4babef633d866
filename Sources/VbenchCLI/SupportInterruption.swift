import ConvCore
import Dispatch
import Foundation
import Synchronization

/// Ctrl-C and SIGTERM as a flag that long work asks for between its steps.
///
/// The first signal sets the flag, so that the work ends with whole files; a second one ends the process at once, without what it was
/// writing. Peers end with it all the same (`PeerGroup`).
enum Interruption {
  private static let requests = Atomic<Int>(0)
  private static let sources = Mutex<[any DispatchSourceSignal]>([])

  /// Catches the signals from now on.
  static func catchSignals() {
    sources.withLock { sources in
      guard sources.isEmpty else { return }
      for number in [SIGINT, SIGTERM] {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
        source.setEventHandler {
          if requests.wrappingAdd(1, ordering: .relaxed).newValue > 1 {
            AtomicFile.abandon()
            _exit(ExitStatus.interrupted.rawValue)
          }
        }
        source.resume()
        sources.append(source)
      }
    }
  }

  /// Whether the work is to end: after a signal, or where nobody can be told what it finds.
  static var isRequested: Bool { requests.load(ordering: .relaxed) > 0 || StandardOutput.hasFailed }
}
