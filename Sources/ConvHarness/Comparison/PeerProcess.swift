import ConvCore
import Foundation

/// A peer in a process of its own. It lives as long as the comparison, so that it keeps its tensors and threads.
public final class PeerProcess {
  /// The shell command that started it.
  public let command: String
  /// Seconds that it may take for one answer.
  public let timeLimit: Double
  /// Who it says that it is.
  public private(set) var identity = PeerIdentity(name: "", version: "", configurations: [])
  private let group: PeerGroup
  private let shouldStop: () -> Bool
  private var answers: [UInt8] = []
  /// The end of what it has written to standard error.
  private var words: [UInt8] = []
  private var hasMoreWords = true
  /// Whether it owes an answer.
  private var isBusy = false

  /// Seconds that a peer may take for one answer where nothing else is said.
  public static let standardTimeLimit = 300.0
  /// Longest line that is read: 64 MiB.
  private static let largestLine = 64 << 20
  private static let mostWords = 1 << 16

  /// Starts `command` by the shell and asks who it is.
  ///
  /// - Parameter shouldStop: is asked while an answer is waited for.
  /// - Throws: `PeerError.broken`, `.interrupted`.
  public init(
    command: String, timeLimit: Double = PeerProcess.standardTimeLimit,
    shouldStop: @escaping () -> Bool = { false }
  ) throws {
    self.command = command
    self.timeLimit = timeLimit
    self.shouldStop = shouldStop
    // A peer that has died is an error of write(2), not the end of this process.
    signal(SIGPIPE, SIG_IGN)
    do {
      group = try PeerGroup(command: command)
    } catch {
      throw PeerError.broken(command: command, reason: "could not be started: \(error)", errorOutput: "")
    }
    let hello = try ask(.hello)
    guard let name = hello["peer"]?.string, let version = hello["version"]?.string,
      let configurations = hello["configurations"]?.array?.compactMap(\.string), !configurations.isEmpty
    else { throw broken("did not say who it is (peer, version, configurations)") }
    // Names are shown wherever results are; configurations go back to the peer as they came.
    identity = PeerIdentity(
      name: QuotedText.shortened(name), version: QuotedText.shortened(version),
      configurations: configurations, settles: hello["settles"]?.bool ?? false)
  }

  // Who works on an answer does not see the end of its input.
  deinit { group.end(patience: isBusy ? 0 : 2) }

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
    let deadline = ContinuousClock.now + .seconds(timeLimit)
    isBusy = true
    try send(Array((request.json + "\n").utf8), until: deadline)
    let line = try line(until: deadline)
    isBusy = false
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

  private func send(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(group.input, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count < 0 && errno == EAGAIN {
        try wait(for: POLLOUT, of: group.input, until: deadline)
      } else if !(count < 0 && errno == EINTR) {
        throw broken("takes no requests")
      }
    }
  }

  private func line(until deadline: ContinuousClock.Instant) throws -> [UInt8] {
    var searched = 0
    while true {
      if let end = answers[searched...].firstIndex(of: 0x0A) {
        defer { answers.removeFirst(end + 1) }
        return Array(answers[..<end])
      }
      searched = answers.count
      guard searched < PeerProcess.largestLine else { throw broken("answered a line without end") }
      // Whoever it has started may hold its end of the pipe longer than it lives.
      let wasRunning = group.isRunning
      switch PeerProcess.read(group.output, into: &answers) {
      case .some: continue
      case .none where wasRunning: try wait(for: POLLIN, of: group.output, until: deadline)
      case .none, .end: throw broken("ended without an answer")
      }
    }
  }

  private enum Reading { case some, none, end }

  private static func read(_ descriptor: Int32, into bytes: inout [UInt8]) -> Reading {
    var block = [UInt8](repeating: 0, count: 1 << 16)
    let count = block.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress, $0.count) }
    if count < 0 { return errno == EAGAIN || errno == EINTR ? .none : .end }
    bytes += block[..<count]
    return count > 0 ? .some : .end
  }

  /// Waits for the peer, a tenth of a second at most, and takes what it writes to standard error meanwhile.
  ///
  /// - Throws: `PeerError.interrupted`; `.broken` after the deadline.
  private func wait(for events: Int32, of descriptor: Int32, until deadline: ContinuousClock.Instant) throws {
    if shouldStop() { throw PeerError.interrupted }
    let left = deadline - .now
    guard left > .zero else {
      throw broken("did not answer in \(RunReport.short(timeLimit)) seconds", isEnding: false)
    }
    var waits = [pollfd(fd: descriptor, events: Int16(events), revents: 0)]
    if hasMoreWords { waits.append(pollfd(fd: group.errors, events: Int16(POLLIN), revents: 0)) }
    poll(&waits, nfds_t(waits.count), Int32(min(100, left / .milliseconds(1) + 1)))
    listen()
  }

  /// Takes what the peer has written to standard error.
  private func listen() {
    while hasMoreWords {
      switch PeerProcess.read(group.errors, into: &words) {
      case .some: break
      case .none: return
      case .end: hasMoreWords = false
      }
      if words.count > PeerProcess.mostWords { words.removeFirst(words.count - PeerProcess.mostWords) }
    }
  }

  /// What is wrong, with how the process ended and what it last wrote to standard error.
  private func broken(_ reason: String, isEnding: Bool = true) -> PeerError {
    let deadline = ContinuousClock.now + .seconds(isEnding ? 1 : 0)
    while group.isRunning && ContinuousClock.now < deadline {
      usleep(10_000)
      listen()
    }
    listen()
    let end = group.exitStatus.map { " (exit status \($0))" } ?? ""
    return .broken(
      command: command, reason: reason + end, errorOutput: String(decoding: words, as: UTF8.self))
  }
}
