import ConvCore
import Foundation

/// What is done about failures: each is shrunk to a minimal case, printed with the command and the test that repeat it, and its
/// tensors are saved.
///
/// Of each engine and pass only the first failure is shrunk: the others are mostly the same defect.
public struct FailureReport {
  /// Folder for the tensors; made with the first file.
  public let folder: String
  /// Seconds of shrinking per failure; 0 switches it off.
  public let seconds: Double
  public let pool: WorkerPool
  private var seen = Set<String>()
  /// Commands that repeat the minimal cases, by the command of the failure that was shrunk.
  public private(set) var minimalRepros: [String: String] = [:]

  /// A report that saves into `folder`.
  public init(folder: String, seconds: Double, pool: WorkerPool = .shared) {
    self.folder = folder
    self.seconds = seconds
    self.pool = pool
  }

  /// Shrinks, saves, and says what was found; nil where this engine's pass has been dealt with already, or shrinking is off.
  ///
  /// - Throws: `FileError` where the tensors cannot be saved.
  public mutating func describe(
    _ failure: FailureCase, shouldStop: () -> Bool = { false }
  ) throws -> String? {
    let key =
      "\(failure.competitor.label) \(failure.operation.pass.rawValue) \(failure.operation.elementType)"
    guard seconds > 0, seen.insert(key).inserted, !shouldStop() else { return nil }
    guard let minimal = try failure.minimal(seconds: seconds, pool: pool, shouldStop: shouldStop) else {
      return "\(failure.competitor.label) \(failure.operation) passes on data generated anew "
        + "(\(failure.distribution.rawValue), seed \(failure.seed)): not shrunk"
    }
    let small = minimal.failure
    minimalRepros[failure.repro] = small.repro
    var text =
      "\(minimal.verification.verdict.rawValue), shrunk in \(minimal.attempts) attempts\(minimal.isMinimal ? "" : ", the time was up"): "
    text += "\(small.competitor.label) \(small.operation)\n  \(minimal.verification.reason)\n"
    text += "  error \(minimal.verification.errorText)\n"
    text += "  \(small.repro)\n"
    let path = "\(folder)/\(small.name).safetensors"
    try FailureReport.makeFolder(folder)
    if try small.save(to: path, pool: pool) {
      text += "  vbench check --references \(ShellText.quoted(path)) --backends "
      text += "\(ShellText.quoted(small.competitor.label)) --passes \(small.operation.pass.rawValue)\n"
    } else {
      text += "  its tensors are not saved: it is too large for float64 sums of all results\n"
    }
    return text + small.test.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
  }

  /// Writes both sides of a broken law into the folder (`LawRun.save`), and says where.
  ///
  /// - Throws: `FileError` where the tensors cannot be saved.
  public func save(_ outcome: LawOutcome, _ competitor: Competitor) throws -> String {
    let path = "\(folder)/\(outcome.name).safetensors"
    try FailureReport.makeFolder(folder)
    let count = try LawRun(pool: pool).save(outcome, competitor, to: path)
    return "  tensors of \(count) executions: \(path)"
  }

  /// Finds out before a long run whether `folder` is something else; it is made with the first file only.
  ///
  /// - Throws: `FileError.cannotCreate`.
  public static func check(_ folder: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), !isFolder.boolValue
    else { return }
    throw FileError.cannotCreate(path: folder, reason: "a file of that name exists, a folder is needed")
  }

  private static func makeFolder(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw FileError.cannotCreate(path: folder, reason: error.localizedDescription)
    }
  }
}
