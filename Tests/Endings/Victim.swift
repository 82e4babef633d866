import Foundation
import Synchronization

/// How a process ended.
struct Ending {
  /// The exit status; nil where a signal ended it.
  let status: Int32?
  /// The signal that ended it.
  let signal: Int32?
  let seconds: Double
  /// Whether it had to be killed, since it did not end.
  let hung: Bool
  /// What it wrote to standard error, as far as that could be read.
  let error: String
  /// Processes that it left behind, by their command lines.
  let survivors: [String]
}

/// A process in a group of its own, which is told by a word in its environment; so are all that it starts.
struct Victim {
  static let mark = "VBENCH_ENDINGS_MARK"

  /// Runs a program in a folder until it ends, under a fate; `usual` seconds are what such a process takes.
  static func run(
    _ program: String, _ arguments: [String], folder: String, fate: Fate, usual: Double, log: String
  ) throws -> Ending {
    let word = UUID().uuidString
    // A stream that is no file leaves none of an earlier run.
    for stream in 1...2 { unlink("\(log).\(stream)") }
    var (process, pipes) = try spawn(program, arguments, folder: folder, fate: fate, word: word, log: log)
    let start = ContinuousClock.now
    var (status, hung, sent) = (Int32(), false, 0)
    while waitpid(process, &status, WNOHANG) == 0 {
      let elapsed = (ContinuousClock.now - start) / .seconds(1)
      if case .signal(let number, let share, let group, let again) = fate,
        sent < (again ? 2 : 1), elapsed > share * usual + Double(sent) * 0.3
      {
        kill(group ? -process : process, number)
        sent += 1
      }
      for (stream, pipe) in pipes { pipes[stream] = read(pipe) }
      // Other work may run on the machine.
      if elapsed > 60 + 20 * usual, !hung {
        hung = true
        kill(-process, SIGKILL)
      }
      usleep(1000)
    }
    for pipe in pipes.values where pipe.read >= 0 { close(pipe.read) }
    let ended = status & 0x7F
    return Ending(
      status: ended == 0 ? status >> 8 & 0xFF : nil, signal: ended == 0 ? nil : ended,
      seconds: (ContinuousClock.now - start) / .seconds(1), hung: hung,
      error: (try? String(contentsOfFile: "\(log).2", encoding: .utf8)) ?? "", survivors: survivors(of: word))
  }

  /// One at a time: a pipe is inherited by nobody else.
  private static let spawning = Mutex(())

  /// Starts the process; the pipes are those of readers who leave.
  private static func spawn(
    _ program: String, _ arguments: [String], folder: String, fate: Fate, word: String, log: String
  ) throws -> (process: pid_t, pipes: [Int32: (read: Int32, left: Int)]) {
    try spawning.withLock { _ in
      try spawnAlone(program, arguments, folder: folder, fate: fate, word: word, log: log)
    }
  }

  private static func spawnAlone(
    _ program: String, _ arguments: [String], folder: String, fate: Fate, word: String, log: String
  ) throws -> (process: pid_t, pipes: [Int32: (read: Int32, left: Int)]) {
    var pipes: [Int32: (read: Int32, left: Int)] = [:]
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    var writers: [Int32] = []
    for stream in [Int32(1), 2] {
      switch fate {
      case .closed(stream): posix_spawn_file_actions_addclose(&actions, stream)
      case .fullDevice(stream): posix_spawn_file_actions_addopen(&actions, stream, "/dev/full", O_WRONLY, 0)
      case .readerLeaves(stream, let count):
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
          throw Failure("no pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], stream)
        pipes[stream] = (ends[0], count)
        writers.append(ends[1])
      default:
        posix_spawn_file_actions_addopen(
          &actions, stream, "\(log).\(stream)", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
      }
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    // The shell goes to the folder, and its process becomes the program.
    var limit = ""
    if case .fileSize(let blocks) = fate { limit = "ulimit -f \(blocks) && " }
    let words = ["/bin/sh", "-c", "cd \"$0\" && \(limit)exec \"$@\"", folder, program] + arguments
    var texts: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { texts.forEach { free($0) } }
    let environment = ProcessInfo.processInfo.environment.merging([mark: word]) { $1 }
    var settings: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
    defer { settings.forEach { free($0) } }
    var process = pid_t()
    let code = posix_spawn(&process, words[0], &actions, &attributes, &texts, &settings)
    writers.forEach { close($0) }
    guard code == 0 else { throw Failure("\(words[0]): \(String(cString: strerror(code)))") }
    return (process, pipes)
  }

  /// Reads what is there, and closes the pipe when enough has been read.
  private static func read(_ pipe: (read: Int32, left: Int)) -> (read: Int32, left: Int) {
    guard pipe.read >= 0 else { return pipe }
    var state = pollfd(fd: pipe.read, events: Int16(POLLIN), revents: 0)
    guard pipe.left > 0 else {
      close(pipe.read)
      return (-1, 0)
    }
    guard poll(&state, 1, 0) > 0 else { return pipe }
    var bytes = [UInt8](repeating: 0, count: pipe.left)
    let count = Glibc.read(pipe.read, &bytes, bytes.count)
    return (pipe.read, count > 0 ? pipe.left - count : 0)
  }

  /// The processes whose environment holds a word, after two seconds in which they may end; they are killed.
  private static func survivors(of word: String) -> [String] {
    var found: [(pid_t, String)] = []
    for _ in 0..<20 {
      found = living(word)
      if found.isEmpty { return [] }
      usleep(100_000)
    }
    for (process, _) in found { kill(process, SIGKILL) }
    return found.map(\.1)
  }

  private static func living(_ word: String) -> [(pid_t, String)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    let needle = Data("\(mark)=\(word)".utf8)
    return names.compactMap { name in
      guard let process = pid_t(name),
        let environment = FileManager.default.contents(atPath: "/proc/\(name)/environ"),
        environment.range(of: needle) != nil
      else { return nil }
      let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") ?? Data()
      return (process, String(decoding: line.map { $0 == 0 ? 32 : $0 }, as: UTF8.self))
    }
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
}
