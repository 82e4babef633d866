import ConvAutograd
import ConvCore
import ConvHarness
import Foundation
import Testing

extension ReferenceFile {
  /// All stored cases of an operation; an empty list fails the tests that count them.
  static func cases(_ operation: String) throws -> [ReferenceFile] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("References/cases/\(operation)")
    return try ReferenceLibrary(root: root.path).paths.map { try ReferenceFile(path: $0) }
  }

  /// A given tensor in the type that the test computes in.
  func given(_ name: String, _ type: ElementType) throws -> Tensor {
    try file.tensor(name).converted(to: type)
  }

  func sizes(_ key: String) throws -> Sizes { Sizes(try #require(attributes[key]?.integers)) }
}
