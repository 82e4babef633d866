import ConvCore
import Foundation

/// What happens to a process.
enum Fate: Hashable, CustomStringConvertible {
  /// Nothing: it has to end well.
  case none
  /// A signal after some of the time that such a process takes, to it alone or to its group as from a terminal, again where it is not heard.
  case signal(Int32, after: Double, group: Bool, again: Bool)
  /// The disk of its folder holds so many KiB.
  case fullDisk(kibibytes: Int)
  /// No file may grow beyond so many blocks of 512 bytes.
  case fileSize(blocks: Int)
  /// A stream (1 or 2) is closed from the beginning.
  case closed(Int32)
  /// A stream is a full device.
  case fullDevice(Int32)
  /// The reader of a stream goes away after so many bytes.
  case readerLeaves(Int32, after: Int)

  var description: String {
    switch self {
    case .none: "nothing"
    case .signal(let number, let share, let group, let again):
      "signal \(number) at \(Int(share * 100)) %\(group ? ", whole group" : "")\(again ? ", twice" : "")"
    case .fullDisk(let size): "a disk of \(size) KiB"
    case .fileSize(let blocks): "files of \(blocks) blocks at most"
    case .closed(let stream): "stream \(stream) closed"
    case .fullDevice(let stream): "stream \(stream) full"
    case .readerLeaves(let stream, let count): "the reader of stream \(stream) leaves after \(count) bytes"
    }
  }

  /// The kind, for the table.
  var kind: String {
    switch self {
    case .none: "nothing"
    case .signal(SIGKILL, _, _, _): "SIGKILL"
    case .signal(SIGINT, _, _, _): "SIGINT"
    case .signal(SIGTERM, _, _, _): "SIGTERM"
    case .signal: "SIGHUP"
    case .fullDisk: "full disk"
    case .fileSize: "file size limit"
    case .closed: "closed stream"
    case .fullDevice: "full device"
    case .readerLeaves: "reader leaves"
    }
  }

  /// Exit statuses that a process of this fate may end with.
  var statuses: Set<Int32> {
    switch self {
    case .none: [0]
    case .signal: [0, 130]
    case .fullDisk, .fileSize: [0, 73, 74]
    // What cannot be told ends with 74; of a reader who has enough nothing is to be said.
    case .closed, .fullDevice, .readerLeaves: [0, 74]
    }
  }

  /// Whether standard error can be read.
  var tells: Bool {
    switch self {
    case .closed(2), .fullDevice(2), .readerLeaves(2, _): false
    default: true
    }
  }

  /// Whether a process of this fate may leave temporary files, which the next one in that folder removes.
  var mayLeaveTemporaries: Bool { if case .signal(SIGKILL, _, _, _) = self { true } else { false } }

  /// A random fate.
  static func random(_ random: inout PhiloxGenerator, hasDisks: Bool) -> Fate {
    func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
    let stream = Int32(1 + below(2))
    switch below(12) {
    case 0...5:
      let number = [SIGKILL, SIGKILL, SIGINT, SIGTERM, SIGHUP][below(5)]
      return .signal(
        number, after: Double.random(in: 0..<1.1, using: &random), group: below(2) == 0,
        again: number != SIGKILL && below(4) == 0)
    case 6, 7:
      return hasDisks ? .fullDisk(kibibytes: 4 << below(8)) : .fileSize(blocks: 1 << below(10))
    case 8: return .fileSize(blocks: 1 << below(10))
    case 9: return .closed(stream)
    case 10: return .fullDevice(stream)
    default: return .readerLeaves(stream, after: below(400))
    }
  }
}
