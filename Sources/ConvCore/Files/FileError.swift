#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What went wrong with a file: its path, and what was expected and found there.
///
/// The cases are those that a program's exit code tells apart (sysexits: 66, 65, 73, 74).
public enum FileError: Error, Hashable, Sendable {
  /// The input is not there or cannot be opened (exit code 66).
  case missingInput(path: String, reason: String)
  /// The input is there, but is not what it should be (exit code 65).
  case malformed(path: String, reason: String)
  /// The output cannot be created (exit code 73).
  case cannotCreate(path: String, reason: String)
  /// Reading or writing failed half way, such as by a full disk (exit code 74).
  case inputOutput(path: String, reason: String)

  /// The file that the error is about.
  public var path: String {
    switch self {
    case .missingInput(let path, _), .malformed(let path, _), .cannotCreate(let path, _),
      .inputOutput(let path, _):
      return path
    }
  }

  /// The system's words for the current `errno`, such as `No such file or directory (errno 2)`.
  static func systemReason(_ code: Int32 = errno) -> String {
    "\(String(cString: strerror(code))) (errno \(code))"
  }
}

extension FileError: CustomStringConvertible {
  /// The path and what is wrong.
  public var description: String {
    switch self {
    case .missingInput(let path, let reason):
      "\(QuotedText.shortened(path)): cannot be read: \(QuotedText.tamed(reason))"
    case .malformed(let path, let reason):
      "\(QuotedText.shortened(path)): malformed: \(QuotedText.tamed(reason))"
    case .cannotCreate(let path, let reason):
      "\(QuotedText.shortened(path)): cannot be created: \(QuotedText.tamed(reason))"
    case .inputOutput(let path, let reason):
      "\(QuotedText.shortened(path)): input/output error: \(QuotedText.tamed(reason))"
    }
  }
}
