import ArgumentParser
import ConvCore
import ConvHarness
import Foundation

/// The exit codes (those from 64 on as in sysexits.h), and which error means which.
struct ExitStatus: RawRepresentable, Hashable {
  let rawValue: Int32

  static let good = ExitStatus(rawValue: 0)
  static let verificationFailed = ExitStatus(rawValue: 1)
  static let regression = ExitStatus(rawValue: 2)
  static let usage = ExitStatus(rawValue: 64)
  static let malformedFile = ExitStatus(rawValue: 65)
  static let missingInput = ExitStatus(rawValue: 66)
  static let software = ExitStatus(rawValue: 70)
  static let outOfMemory = ExitStatus(rawValue: 71)
  static let cannotCreate = ExitStatus(rawValue: 73)
  static let inputOutput = ExitStatus(rawValue: 74)
  static let interrupted = ExitStatus(rawValue: 130)

  init(rawValue: Int32) { self.rawValue = rawValue }

  /// The code of an error; nil for the argument parser's own, which knows how to present itself.
  init?(of error: any Error) {
    switch error {
    case let error as any StatusError: self = error.exitStatus
    case let error as FileError: self = Self.status(of: error)
    case let error as HarnessError: self = Self.status(of: error)
    case let error as ConvError: self = Self.status(of: error)
    case is PeerError: self = .inputOutput
    case is MemoryError: self = .outOfMemory
    case is InstructionSet.SelectionError: self = .usage
    case is CleanExit, is ExitCode, is ValidationError: return nil
    default:
      // Errors of the parser that have no public type are the only ones left with a code of their own.
      if Vbench.exitCode(for: error) != .failure { return nil }
      self = .software
    }
  }

  private static func status(of error: FileError) -> ExitStatus {
    switch error {
    case .missingInput: .missingInput
    case .malformed: .malformedFile
    case .cannotCreate: .cannotCreate
    case .inputOutput: .inputOutput
    }
  }

  private static func status(of error: HarnessError) -> ExitStatus {
    switch error {
    case .malformedLine: .malformedFile
    case .unknownName, .usage: .usage
    }
  }

  private static func status(of error: ConvError) -> ExitStatus {
    switch error {
    case .invalidProblem, .malformedProblem, .unknownName, .unsupported, .operand: .usage
    default: .software
    }
  }
}

/// An error that knows its exit code.
protocol StatusError: Error {
  var exitStatus: ExitStatus { get }
}

/// The user asked for something that makes no sense, in one sentence.
struct UsageError: StatusError, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
  var exitStatus: ExitStatus { .usage }
}

/// A name that is not known; the nearest known ones come first.
struct UnknownNameError: StatusError, CustomStringConvertible {
  let kind: String
  let name: String
  let known: [String]
  var exitStatus: ExitStatus { .usage }
  var description: String {
    let sorted = NearNames.sorted(known, by: name)
    let near = sorted.first.map { "; did you mean '\($0)'?" } ?? ";"
    return "unknown \(kind) \(quoting: name)\(near) Known: \(sorted.joined(separator: ", "))"
  }
}

/// Ctrl-C (or SIGTERM); whatever was whole stays. `description` says what there is to go on with.
struct InterruptedError: StatusError, CustomStringConvertible {
  let description: String
  var exitStatus: ExitStatus { .interrupted }
}
