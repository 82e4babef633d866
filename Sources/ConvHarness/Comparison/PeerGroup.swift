import ConvCore
import Foundation

/// A shell command in a process group of its own, which ends as a whole: with the object, and with this process, however that ends.
///
/// The first process of the group is a guard. It waits for the end of a pipe whose other end only this process holds, and then kills
/// the group: nothing else is left to do that when this process is killed.
final class PeerGroup {
  /// Why there are no processes.
  struct StartError: Error, CustomStringConvertible {
    let description: String
  }

  /// Our ends of the command's standard streams: they never block.
  private(set) var input: Int32 = -1
  private(set) var output: Int32 = -1
  private(set) var errors: Int32 = -1
  private var lifeline: Int32 = -1
  /// Process of the guard, whose number is that of the group.
  private var guardian: pid_t = 0
  private var leader: pid_t = 0
  /// How the command ended: its exit status, or 128 and the number of the signal; nil while it runs.
  private(set) var exitStatus: Int32?

  /// Starts the command.
  ///
  /// - Throws: `StartError`; then nothing is left.
  init(command: String) throws {
    do {
      let (life, stdin, stdout, stderr) = (try Pipe(), try Pipe(), try Pipe(), try Pipe())
      (lifeline, input, output, errors) = (
        life.takeWriter(), stdin.takeWriter(), stdout.takeReader(), stderr.takeReader()
      )
      // Only this end: the description that the command has is another one.
      for end in [input, output, errors] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }
      guardian = try spawn(
        "trap '' HUP INT TERM; read -r line; kill -KILL 0", [life.reader, nil, nil], group: 0)
      leader = try spawn(command, [stdin.reader, stdout.writer, stderr.writer], group: guardian)
    } catch {
      end(patience: 0)
      throw error
    }
  }

  deinit { end(patience: 0) }

  /// Whether the command runs.
  var isRunning: Bool {
    guard leader > 0, exitStatus == nil else { return false }
    var status: Int32 = 0
    let found = waitpid(leader, &status, WNOHANG)
    if found == 0 || (found < 0 && errno == EINTR) { return true }
    exitStatus = found < 0 ? -1 : status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
    return false
  }

  /// Ends the group: the end of its input is the command's sign to leave, for which it has `patience` seconds; then come SIGTERM and,
  /// for what is left of the group after half a second, SIGKILL.
  func end(patience: Double) {
    PeerGroup.close(&input)
    if guardian > 0 {
      waitForLeader(seconds: patience)
      if isRunning {
        killpg(guardian, SIGTERM)
        waitForLeader(seconds: 0.5)
      }
      killpg(guardian, SIGKILL)
      var status: Int32 = 0
      if isRunning { while waitpid(leader, &status, 0) < 0 && errno == EINTR {} }
      // As long as the guard is not waited for, no other group can have its number.
      while waitpid(guardian, &status, 0) < 0 && errno == EINTR {}
      // The others are not ours to wait for; they need no time to speak of.
      for _ in 0..<100 where killpg(guardian, 0) == 0 { usleep(5_000) }
      (guardian, leader) = (0, 0)
    }
    PeerGroup.close(&lifeline)
    PeerGroup.close(&output)
    PeerGroup.close(&errors)
  }

  private func waitForLeader(seconds: Double) {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while isRunning && ContinuousClock.now < deadline { usleep(5_000) }
  }

  private static func close(_ descriptor: inout Int32) {
    if descriptor >= 0 { _ = Foundation.close(descriptor) }
    descriptor = -1
  }

  // MARK: Starting

  /// Both ends of a pipe, which no command inherits and which close by themselves.
  private final class Pipe {
    private(set) var reader: Int32 = -1
    private(set) var writer: Int32 = -1

    init() throws {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else {
        throw StartError(description: "no pipe: \(String(cString: strerror(errno)))")
      }
      // Numbers below 3 are the streams of a command.
      (reader, writer) = (fcntl(ends[0], F_DUPFD_CLOEXEC, 3), fcntl(ends[1], F_DUPFD_CLOEXEC, 3))
      let reason = String(cString: strerror(errno))
      for end in ends { _ = Foundation.close(end) }
      guard reader >= 0, writer >= 0 else { throw StartError(description: "no pipe: \(reason)") }
    }

    deinit {
      PeerGroup.close(&reader)
      PeerGroup.close(&writer)
    }

    func takeReader() -> Int32 {
      defer { reader = -1 }
      return reader
    }

    func takeWriter() -> Int32 {
      defer { writer = -1 }
      return writer
    }
  }

  /// Starts a command by the shell with these standard streams, nil being `/dev/null`; in a group of its own for group 0.
  private func spawn(_ command: String, _ streams: [Int32?], group: pid_t) throws -> pid_t {
    #if canImport(Darwin)
      var (actions, attributes): (posix_spawn_file_actions_t?, posix_spawnattr_t?) = (nil, nil)
    #else
      var (actions, attributes) = (posix_spawn_file_actions_t(), posix_spawnattr_t())
    #endif
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    for (number, stream) in streams.enumerated() {
      if let stream {
        posix_spawn_file_actions_adddup2(&actions, stream, Int32(number))
      } else {
        posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", O_RDWR, 0)
      }
    }
    // What this process ignores, a command would ignore too.
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ] { sigaddset(&signals, signal) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, group)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
    posix_spawnattr_setflags(&attributes, Int16(flags))

    typealias Texts = [UnsafeMutablePointer<CChar>?]
    let words = ["/bin/sh", "-c", command]
    let arguments: Texts = words.map { strdup($0) } + [nil]
    let variables = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
    let environment: Texts = variables.map { strdup($0) } + [nil]
    defer { for text in arguments + environment { free(text) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, "/bin/sh", &actions, &attributes, arguments, environment)
    guard code == 0 else { throw StartError(description: String(cString: strerror(code))) }
    return process
  }
}
