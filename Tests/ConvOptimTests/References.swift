import ConvAutograd
import ConvCore
import Foundation
import Testing

/// One stored reference: what is given, and what PyTorch computed from it in float64.
struct StoredCase: Sendable, CustomTestStringConvertible {
  let name: String
  let file: SafetensorsFile
  let attributes: JSONValue
  var testDescription: String { name }

  /// All cases of an operation; an empty list fails the tests that count them.
  static func load(_ operation: String) throws -> [StoredCase] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("References/cases/\(operation)")
    return try FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: nil)
      .filter { $0.pathExtension == "safetensors" }.sorted { $0.path < $1.path }
      .map { url in
        let file = try SafetensorsFile(path: url.path)
        return StoredCase(
          name: "\(operation)/\(url.lastPathComponent)", file: file,
          attributes: try JSONValue(parsing: file.metadata["attributes"] ?? ""))
      }
  }

  /// A given tensor in the type that the test computes in.
  func given(_ name: String, _ type: ElementType) throws -> Tensor {
    try file.tensor(name).converted(to: type)
  }

  func number(_ key: String) throws -> Double { try #require(attributes[key]?.number) }
  func flag(_ key: String) throws -> Bool { try #require(attributes[key]?.bool as Bool?) }

  /// Compares with an expected tensor: |error| ≤ tolerance · (largest expected entry).
  func check(_ name: String, _ found: Tensor?, tolerance: Double) throws {
    guard let expected = file.tensors[name] else { return }
    let found = try #require(found, "\(self.name): no \(name)").converted(to: .float64)
    #expect(found.shape == expected.shape, "\(self.name): shape of \(name)")
    guard found.shape == expected.shape else { return }
    let (want, have) = (expected.values(as: Double.self), found.values(as: Double.self))
    let largest = want.reduce(0) { max($0, abs($1)) }
    let allowed = tolerance * max(largest, 1e-30)
    for (index, (w, h)) in zip(want, have).enumerated() where !(abs(w - h) <= allowed) {
      Issue.record("\(self.name): \(name)[\(index)] is \(h), PyTorch says \(w), allowed is ±\(allowed)")
      return
    }
  }
}
