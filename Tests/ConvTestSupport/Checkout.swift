import ConvCore
import ConvHarness
import Foundation

/// The checkout's root, where README.md and References/ are.
public let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// The stored references, or the folder that VBENCH_REFERENCES names.
public let referencesRoot =
  ProcessInfo.processInfo.environment["VBENCH_REFERENCES"]
  ?? checkout.appendingPathComponent("References").path

/// A folder of its own for one test, removed afterwards.
public func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vbench-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

extension ReferenceFile {
  /// All stored cases of an operation; an empty list fails the tests that count them.
  public static func cases(_ operation: String) throws -> [ReferenceFile] {
    try ReferenceLibrary(root: "\(referencesRoot)/cases/\(operation)").paths.map {
      try ReferenceFile(path: $0)
    }
  }

  /// A given tensor in the type that the test computes in.
  public func given(_ name: String, _ type: ElementType) throws -> Tensor {
    try file.tensor(name).converted(to: type)
  }
}
