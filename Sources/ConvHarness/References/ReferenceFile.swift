import ConvCore

/// One file in format `vbench-reference-1`, whatever its operation: metadata and tensors, checked for form.
///
/// References/README.md describes the format. What the attributes and tensors of an operation must be is checked by whoever reads
/// that operation, with the same kind of error: `FileError.malformed`, naming the file and what is wrong with it.
public struct ReferenceFile: Sendable {
  /// The format's name, which stands in every file.
  public static let formatName = "vbench-reference-1"

  /// Where the file is.
  public let path: String
  /// The file's name without folder and extension.
  public let name: String
  /// The operation: `conv2d`, `linear`, `adam`, …
  public let op: String
  /// The operation's attributes.
  public let attributes: [String: JSONValue]
  /// Corners that the case covers.
  public let tags: [String]
  /// Everything that is in the file.
  public let file: SafetensorsFile

  /// Reads a file.
  ///
  /// - Throws: `FileError.missingInput`, `.malformed`, `.inputOutput`.
  public init(path: String) throws {
    let file = try SafetensorsFile(path: path)
    self.file = file
    self.path = path
    let last = path.split(separator: "/").last.map(String.init) ?? path
    name = last.hasSuffix(".safetensors") ? String(last.dropLast(12)) : last
    func metadata(_ key: String) throws -> String {
      guard let value = file.metadata[key] else {
        throw FileError.malformed(path: path, reason: "the metadata lack '\(key)'")
      }
      return value
    }
    let format = try metadata("format")
    guard format == Self.formatName else {
      throw FileError.malformed(path: path, reason: "format is '\(format)', '\(Self.formatName)' is needed")
    }
    let precision = try metadata("precision")
    guard precision == "float64" else {
      throw FileError.malformed(path: path, reason: "precision is '\(precision)', 'float64' is needed")
    }
    guard try !metadata("producer").isEmpty else {
      throw FileError.malformed(path: path, reason: "the producer is empty")
    }
    op = try metadata("op")
    let text = try metadata("attributes")
    do {
      guard let object = try JSONValue(parsing: text).object else {
        throw FileError.malformed(path: path, reason: "the attributes are no JSON object: \(text)")
      }
      attributes = object
    } catch let error as JSONValue.SyntaxError {
      throw FileError.malformed(path: path, reason: "the attributes are no JSON: \(error)")
    }
    tags = (file.metadata["tags"] ?? "").split(separator: ",").map {
      String($0.drop(while: { $0 == " " }))
    }
  }

  /// An error about this file.
  public func malformed(_ reason: String) -> FileError { .malformed(path: path, reason: reason) }

  /// A tensor that must be there, of one element type.
  ///
  /// - Throws: `FileError.malformed`.
  public func tensor(_ name: String, _ elementType: ElementType) throws -> Tensor {
    guard let tensor = try optionalTensor(name, elementType) else {
      throw malformed("tensor '\(name)' is missing; the file has \(file.names.joined(separator: ", "))")
    }
    return tensor
  }

  /// A tensor that may be there, of one element type.
  ///
  /// - Throws: `FileError.malformed` where it has another type that does not hold the same values.
  public func optionalTensor(_ name: String, _ elementType: ElementType) throws -> Tensor? {
    guard let tensor = try file.tensorIfAny(name) else { return nil }
    do {
      return try tensor.exactly(as: elementType, what: "tensor '\(name)'")
    } catch let error as ConvError {
      throw malformed("\(error)")
    }
  }

  /// A tensor that may be there, of one element type and shape, without values that are not finite.
  ///
  /// - Throws: `FileError.malformed`.
  public func optionalTensor(_ name: String, _ elementType: ElementType, shape: [Int]) throws -> Tensor? {
    guard let tensor = try optionalTensor(name, elementType) else { return nil }
    guard tensor.shape == shape else {
      throw malformed("tensor '\(name)' has shape \(tensor.shape), the attributes make it \(shape)")
    }
    return tensor
  }

  /// An attribute that is a list of `count` integers, each at least `least`.
  ///
  /// - Throws: `FileError.malformed`.
  public func integers(_ key: String, count: Int, least: Int) throws -> [Int] {
    let value = try attribute(key)
    guard let list = value.integers, list.count == count, list.allSatisfy({ $0 >= least }) else {
      throw malformed("attribute '\(key)' must be a list of \(count) integers of at least \(least)")
    }
    return list
  }

  /// An attribute that is an integer of at least `least`.
  ///
  /// - Throws: `FileError.malformed`.
  public func integer(_ key: String, least: Int) throws -> Int {
    guard let value = try attribute(key).integer, value >= least else {
      throw malformed("attribute '\(key)' must be an integer of at least \(least)")
    }
    return value
  }

  /// An attribute that is a number.
  ///
  /// - Throws: `FileError.malformed`.
  public func number(_ key: String) throws -> Double {
    guard let value = try attribute(key).number else {
      throw malformed("attribute '\(key)' must be a number")
    }
    return value
  }

  /// An attribute that is true or false.
  ///
  /// - Throws: `FileError.malformed`.
  public func flag(_ key: String) throws -> Bool {
    guard let value = try attribute(key).bool else {
      throw malformed("attribute '\(key)' must be true or false")
    }
    return value
  }

  /// An attribute that must be there.
  ///
  /// - Throws: `FileError.malformed`.
  public func attribute(_ key: String) throws -> JSONValue {
    guard let value = attributes[key] else {
      throw malformed(
        "attribute '\(key)' is missing; there are \(attributes.keys.sorted().joined(separator: ", "))")
    }
    return value
  }

  /// Refuses attributes that would change the meaning of the case and that the reader does not know.
  ///
  /// - Throws: `FileError.malformed`.
  public func allowAttributes(_ known: [String]) throws {
    if let unknown = attributes.keys.sorted().first(where: { !known.contains($0) }) {
      throw malformed("unknown attribute '\(unknown)' of \(op); known: \(known.joined(separator: ", "))")
    }
  }
}

extension ReferenceFile: CustomStringConvertible {
  /// As in `linear/no-bias`.
  public var description: String { "\(op)/\(name)" }
}
