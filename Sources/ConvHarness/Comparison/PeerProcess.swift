import ConvCore
import Foundation
import Synchronization

/// A peer in a process of its own. It lives as long as the comparison, so that it keeps its tensors and threads.
public final class PeerProcess {
  /// The shell command that started it.
  public let command: String
  /// Who it says that it is.
  public private(set) var identity = PeerIdentity(name: "", version: "", configurations: [])
  private let process = Process()
  private let requests = Pipe()
  private let answers = Pipe()
  private let errors: ErrorOutput
  private var buffered: [UInt8] = []

  /// Longest line that is read: 64 MiB.
  private static let largestLine = 64 << 20

  /// The end of what the peer writes to standard error, collected by another thread.
  private final class ErrorOutput: Sendable {
    private let bytes = Mutex<[UInt8]>([])

    func add(_ data: Data) {
      bytes.withLock { bytes in
        bytes += data
        if bytes.count > 1 << 16 { bytes.removeFirst(bytes.count - 1 << 16) }
      }
    }

    var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }
  }

  /// Starts `command` by the shell and asks who it is.
  ///
  /// - Throws: `PeerError.broken`.
  public init(command: String) throws {
    self.command = command
    let errorPipe = Pipe()
    errors = ErrorOutput()
    // A peer that has died is an error of write(2), not the end of this process.
    signal(SIGPIPE, SIG_IGN)
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", command]
    process.standardInput = requests
    process.standardOutput = answers
    process.standardError = errorPipe
    let errors = errors
    errorPipe.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil } else { errors.add(data) }
    }
    do {
      try process.run()
    } catch {
      throw PeerError.broken(command: command, reason: "could not be started: \(error)", errorOutput: "")
    }
    let hello = try ask(.hello)
    guard let name = hello["peer"]?.string, let version = hello["version"]?.string,
      let configurations = hello["configurations"]?.array?.compactMap(\.string), !configurations.isEmpty
    else { throw broken("did not say who it is (peer, version, configurations)") }
    identity = PeerIdentity(
      name: name, version: version, configurations: configurations, settles: hello["settles"]?.bool ?? false)
  }

  deinit {
    // The end of its input is a peer's sign to leave.
    try? requests.fileHandleForWriting.close()
    let deadline = Date().addingTimeInterval(2)
    while process.isRunning && Date() < deadline { usleep(10_000) }
    if process.isRunning { process.terminate() }
  }

  /// The result of a task at flat indices; NaN where it is not finite.
  ///
  /// - Throws: `PeerError`.
  public func values(_ task: PeerTask, at indices: [Int]) throws -> [Double] {
    let answer = try ask(.result(task, indices: indices))
    let count = task.problem.resultShape(task.pass).reduce(1, *)
    guard answer["count"]?.integer == count else {
      throw broken("computed \(answer["count"]?.integer ?? 0) results for \(task.problem), not \(count)")
    }
    guard let values = answer["values"]?.array, values.count == indices.count else {
      throw broken("did not answer with \(indices.count) values")
    }
    return values.map { $0.number ?? .nan }
  }

  /// Seconds per execution.
  ///
  /// - Throws: `PeerError`.
  public func seconds(_ task: PeerTask, _ turn: ComparisonTurn) throws -> Double {
    if !identity.settles && turn.untimed > 1 {
      // Such a peer executes once by itself before it begins to time.
      _ = try ask(.measure(task, ComparisonTurn(untimed: 0, repetitions: turn.untimed - 1)))
    }
    return try positive(ask(.measure(task, turn))["seconds"]?.number)
  }

  /// Seconds per training step, and the losses: with `first` of all steps, else of the last one.
  ///
  /// - Throws: `PeerError`.
  public func train(
    _ training: PeerTraining, repetitions: Int, first: Bool
  ) throws -> (seconds: Double, losses: [Double]) {
    let answer = try ask(.train(training, repetitions: repetitions, first: first))
    let seconds = first ? 0 : try positive(answer["seconds"]?.number)
    let losses = first ? answer["losses"]?.array?.map { $0.number ?? .nan } : nil
    if let losses, losses.count != repetitions {
      throw broken("answered \(losses.count) losses of \(repetitions) steps")
    }
    return (seconds, losses ?? [answer["loss"]?.number ?? .nan])
  }

  private func positive(_ seconds: Double?) throws -> Double {
    guard let seconds, seconds > 0, seconds.isFinite else { throw broken("answered no time") }
    return seconds
  }

  private func ask(_ request: PeerRequest) throws -> JSONValue {
    do {
      try requests.fileHandleForWriting.write(contentsOf: Data((request.json + "\n").utf8))
    } catch {
      throw broken("takes no requests")
    }
    let line = try line()
    let answer: JSONValue
    do {
      answer = try JSONValue(parsing: line)
    } catch {
      throw broken(
        "answered what is no JSON: '\(String(decoding: line.prefix(200), as: UTF8.self))' (\(error))")
    }
    if let reason = answer["error"]?.string { throw PeerError.declined(reason) }
    return answer
  }

  private func line() throws -> [UInt8] {
    var searched = 0
    while true {
      if let end = buffered[searched...].firstIndex(of: 0x0A) {
        defer { buffered.removeFirst(end + 1) }
        return Array(buffered[..<end])
      }
      searched = buffered.count
      guard searched < PeerProcess.largestLine else { throw broken("answered a line without end") }
      let data = answers.fileHandleForReading.availableData
      guard !data.isEmpty else { throw broken("ended without an answer") }
      buffered += data
    }
  }

  /// What is wrong, with how the process ended and what it last wrote to standard error.
  private func broken(_ reason: String) -> PeerError {
    let deadline = Date().addingTimeInterval(1)
    while process.isRunning && Date() < deadline { usleep(10_000) }
    // What it wrote last may still be on its way.
    usleep(50_000)
    let end = process.isRunning ? "" : " (exit status \(process.terminationStatus))"
    return .broken(command: command, reason: reason + end, errorOutput: errors.text)
  }
}
