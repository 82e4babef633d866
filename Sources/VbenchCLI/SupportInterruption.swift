import ConvCore
import Dispatch
import Foundation
import Synchronization

/// Ctrl-C, SIGTERM and a terminal that was closed (SIGHUP, unless `nohup` has it ignored) as a flag that long work asks for between its steps.
///
/// The first signal sets the flag, so that the work ends with whole files. A second one ends the process at once, without what it was
/// writing, and so does the first one before there is any work. Peers end with the process (`PeerGroup`).
enum Interruption {
  private static let requests = Atomic<Int>(0)
  private static let sources = Mutex<[any DispatchSourceSignal]>([])

  /// Whether work asks for the flag.
  private static let isAsked = Atomic<Bool>(false)

  /// From now on work asks for the flag.
  static func catchSignals() {
    endAtOnce()
    isAsked.store(true, ordering: .relaxed)
  }

  /// Signals end the process with the exit code of an interruption.
  static func endAtOnce() {
    sources.withLock { sources in
      guard sources.isEmpty else { return }
      for number in [SIGINT, SIGTERM, SIGHUP] where number != SIGHUP || !isIgnored(SIGHUP) {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
        source.setEventHandler {
          let count = requests.wrappingAdd(1, ordering: .relaxed).newValue
          if count > 1 || !isAsked.load(ordering: .relaxed) {
            AtomicFile.abandon()
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
