/// Files of one JSON value in a known form.
public enum JSONFile {
  /// What is wrong with the content of a file, whose path is added where it is read.
  public struct ContentError: Error, Hashable, Sendable {
    /// The place and what is wrong there.
    public let reason: String

    /// For that reason.
    public init(_ reason: String) { self.reason = reason }
  }

  /// What `body` makes of the value in a file of at most `limit` bytes.
  ///
  /// - Throws: `FileError`: not there, too large, malformed as JSON or for what `body` throws as `ContentError`, with the place.
  public static func read<Value>(
    _ path: String, limit: Int, _ body: (JSONValue) throws -> Value
  ) throws -> Value {
    let bytes = try InputFile.utf8(of: path, limit: limit)
    do {
      return try body(JSONValue(parsing: Array(bytes)))
    } catch let error as JSONValue.SyntaxError {
      throw FileError.malformed(
        path: path, reason: "byte \(bytes.startIndex + error.offset + 1): \(error.reason)")
    } catch let error as ContentError {
      throw FileError.malformed(path: path, reason: error.reason)
    }
  }
}
