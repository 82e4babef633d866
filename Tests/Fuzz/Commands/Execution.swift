import Foundation

/// How a process ended, and what it took.
struct Execution {
  /// The exit status; nil where a signal ended it.
  let status: Int32?
  /// The signal that ended it.
  let signal: Int32?
  /// Processor time of all threads, which does not depend on what else runs.
  let seconds: Double
  /// The most memory that it held at once.
  let mebibytes: Int
  let output: [UInt8]
  let error: [UInt8]

  /// Runs a program to its end in a folder; it is killed after `limit` seconds.
  init(_ program: String, _ arguments: [String], folder: String, limit: Double) throws {
    // Files instead of pipes: a full pipe would stop the process. They lie outside of what the program sees.
    let sinks = ["\(folder).output", "\(folder).error"]
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for (index, sink) in sinks.enumerated() {
      posix_spawn_file_actions_addopen(
        &actions, Int32(index + 1), sink, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    }
    // The shell goes to the folder; its process becomes the program.
    let words = ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder, program] + arguments
    var texts: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { texts.forEach { free($0) } }
    var process = pid_t()
    let code = posix_spawn(&process, words[0], &actions, nil, &texts, environ)
    guard code == 0 else { throw Failure(description: "\(words[0]): \(String(cString: strerror(code)))") }
    var (status, usage) = (Int32(), rusage())
    let start = ContinuousClock.now
    while wait4(process, &status, WNOHANG, &usage) == 0 {
      if ContinuousClock.now - start > .seconds(limit) { kill(process, SIGKILL) }
      usleep(1000)
    }
    let ended = status & 0x7F
    self.status = ended == 0 ? status >> 8 & 0xFF : nil
    signal = ended == 0 ? nil : ended
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    self.seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)
    mebibytes = usage.ru_maxrss / 1024
    output = [UInt8](try Data(contentsOf: URL(fileURLWithPath: sinks[0])))
    error = [UInt8](try Data(contentsOf: URL(fileURLWithPath: sinks[1])))
  }

  struct Failure: Error, CustomStringConvertible { let description: String }
}
