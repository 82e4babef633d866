import Foundation
import Synchronization

/// A program that ran to its end, or was ended.
struct Finished: Sendable {
  /// The exit status; 128 more than the signal where one ended it.
  var status: Int32
  var output: String
}

/// Runs a program and reads what it prints on either stream, also to `log`.
/// - Parameter stop: asked of each line; the first yes ends the program.
func runProgram(
  _ arguments: [String], in folder: URL, environment: [String: String?] = [:], log: URL? = nil,
  stoppingAt stop: ((String) -> Bool)? = nil
) throws -> Finished {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = arguments
  process.currentDirectoryURL = folder
  var variables = ProcessInfo.processInfo.environment
  for (name, value) in environment { variables[name] = value }
  process.environment = variables
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  process.standardInput = FileHandle.nullDevice
  try process.run()
  var output = Data()
  // Where the line begins that is not whole yet, and how far it was looked at: tests print lines of megabytes.
  var (lineStart, seen) = (0, 0)
  while case let data = pipe.fileHandleForReading.availableData, !data.isEmpty {
    output.append(data)
    guard let stop else { continue }
    while let end = newline(in: output, from: seen) {
      let line = String(decoding: output[lineStart..<min(end, lineStart + 400)], as: UTF8.self)
      (lineStart, seen) = (end + 1, end + 1)
      if process.isRunning, stop(line) { process.terminate() }
    }
    seen = output.count
  }
  process.waitUntilExit()
  let text = String(decoding: output, as: UTF8.self)
  if let log { try text.write(to: log, atomically: true, encoding: .utf8) }
  let signalled = process.terminationReason == .uncaughtSignal
  return Finished(status: process.terminationStatus + (signalled ? 128 : 0), output: text)
}

private func newline(in data: Data, from start: Int) -> Int? {
  data.withUnsafeBytes { bytes in
    guard start < bytes.count, let base = bytes.baseAddress,
      let found = memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start)
    else { return nil }
    return UnsafeRawPointer(found) - base
  }
}

/// Does something with each element, so many at a time; results come in the order of the elements.
func inParallel<Element: Sendable, Result: Sendable>(
  _ elements: [Element], jobs: Int, _ work: @escaping @Sendable (Element) -> Result
) -> [Result] {
  let state = Mutex((next: 0, results: [Result?](repeating: nil, count: elements.count)))
  DispatchQueue.concurrentPerform(iterations: min(jobs, elements.count)) { _ in
    while true {
      let index = state.withLock { state in
        defer { state.next += 1 }
        return state.next
      }
      guard index < elements.count else { return }
      let result = work(elements[index])
      state.withLock { $0.results[index] = result }
    }
  }
  return state.withLock { $0.results.compactMap(\.self) }
}

/// Prints a line at once, also into a file or a pipe.
func say(_ line: String) {
  FileHandle.standardOutput.write(Data((line + "\n").utf8))
}
