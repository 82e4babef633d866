import Foundation

/// What the system says of processes.
public enum ProcessState {
  /// Whether a process runs: those that have ended and are not waited for do not.
  public static func isAlive(_ pid: some StringProtocol) -> Bool {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let state = text.split(separator: ")").last?.split(separator: " ").first
    else { return false }
    return state != "Z" && state != "X"
  }
}
