import ConvCore
import ConvHarness
import ConvONNX
import Foundation

/// A reader of files that may be garbled or hostile, as libFuzzer drives it.
///
/// `check` gives the bytes to the reader. Whatever they are, the reader gives a value or throws an error of ours; a value that can be
/// written is written, read again, and has to be the same. Everything else ends the process, which is what the fuzzer looks for.
struct FuzzedReader: Sendable {
  let name: String
  let check: @Sendable ([UInt8]) throws -> Void

  static let all: [FuzzedReader] = [
    .json, .safetensors, .reference, .problem, .batch, .csv, .report, .journal, .plan, .profile, .idx, .onnx,
  ]

  /// Whether errors are printed, to see what a reader says of a file.
  static let tells = ProcessInfo.processInfo.environment["VBENCH_FUZZ_TELL"] != nil

  /// The one that `VBENCH_FUZZ` names.
  static let chosen: FuzzedReader = {
    let wanted = ProcessInfo.processInfo.environment["VBENCH_FUZZ"] ?? ""
    guard let reader = all.first(where: { $0.name == wanted }) else {
      print("VBENCH_FUZZ names one of \(all.map(\.name).joined(separator: ", ")), found '\(wanted)'")
      exit(2)
    }
    return reader
  }()
}

/// Ends the process where something that always holds does not.
func demand(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { fatalError(what()) }
}

/// Whether an error is one that readers say they throw.
private func isOurs(_ error: any Error) -> Bool {
  switch error {
  case is FileError, is HarnessError, is ConvError, is JSONValue.SyntaxError, is JSONFile.ContentError,
    is InputShapeError:
    true
  default: false
  }
}

/// A wrong name is found before anything runs.
@_cdecl("LLVMFuzzerInitialize")
public func initializeFuzzer(
  _ count: UnsafeMutablePointer<CInt>?,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>?
) -> CInt {
  _ = FuzzedReader.chosen
  return 0
}

/// Seconds of processor time that this process has used; they do not depend on what else runs.
private func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// One input, in at most two seconds.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let begin = processorSeconds()
  defer {
    let taken = processorSeconds() - begin
    demand(taken <= 2, "\(taken) s for an input")
  }
  do {
    try FuzzedReader.chosen.check(Array(UnsafeBufferPointer(start: start, count: count)))
  } catch {
    demand(isOurs(error), "an error of another kind: \(error)")
    // Messages hold the place in the input: they are made of it too.
    demand(!"\(error)".isEmpty, "an error that says nothing")
    if FuzzedReader.tells { print(error) }
  }
  return 0
}
