import Foundation

/// A process whose standard error is a terminal of so many columns.
enum PseudoTerminal {
  /// What it showed, with all that a terminal would have obeyed, and how the process ended.
  struct Outcome {
    let status: Int32
    let reason: Process.TerminationReason
    let output: String
    let screen: String

    /// What was drawn over each other in a place, the last of it being taken away.
    var redrawn: [Substring] {
      screen.components(separatedBy: "\r\u{1B}[2K").dropFirst().map { text in
        text.prefix { $0 != "\r" && $0 != "\n" && $0 != "\r\n" }
      }
    }
  }

  /// Runs to the end.
  ///
  /// - Parameter closed: closes the terminal before anything is read from it.
  static func run(
    _ arguments: [String], columns: Int, environment: [String: String] = [:], closed: Bool = false
  ) throws -> Outcome {
    var (main, side): (Int32, Int32) = (-1, -1)
    var size = winsize(ws_row: 24, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    guard openpty(&main, &side, nil, nil, &size) == 0 else {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
    }
    let process = CommandLineRunner.process(
      arguments, environment: environment.merging(["TERM": "xterm"]) { own, _ in own })
    let output = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try Data().write(to: output)
    defer { try? FileManager.default.removeItem(at: output) }
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = FileHandle(fileDescriptor: side, closeOnDealloc: false)
    if closed { close(main) }
    try process.run()
    close(side)
    var bytes: [UInt8] = []
    if !closed {
      var buffer = [UInt8](repeating: 0, count: 4096)
      // The end is an error: nobody has the other side open any more.
      while case let count = read(main, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
      close(main)
    }
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, reason: process.terminationReason,
      output: String(decoding: try Data(contentsOf: output), as: UTF8.self),
      screen: String(decoding: bytes, as: UTF8.self))
  }
}
