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

  /// Compares with an expected tensor: |error| ≤ tolerance · (largest expected entry).
  func check(_ name: String, _ found: Tensor?, tolerance: Double) throws {
    if let deviation = try deviation(of: found, from: name, tolerance: tolerance) {
      Issue.record("\(deviation)")
    }
  }
}

/// Both types that networks compute in, with the tolerance of one layer relative to the largest entry.
let precisions: [(type: ElementType, tolerance: Double)] = [(.float64, 1e-12), (.float32, 4e-6)]
