import ConvCore

/// Comma-separated values that have been read (RFC 4180), with the place of every field.
public struct CSVTable: Sendable {
  /// A field and where it begins.
  public struct Field: Sendable {
    /// What it says, without the quotes and the apostrophe of `CSV.field`.
    public let text: String
    /// Byte of the file that it begins at.
    let offset: Int
    let source: Source

    /// An error about this field.
    public func error(_ reason: String) -> HarnessError { source.error(at: offset, reason) }

    /// The number that a text is. Swift reads hexadecimal numbers and "nan" too; none of our files has them.
    static func decimal(_ text: some StringProtocol) -> Double? {
      guard text.utf8.allSatisfy({ (48...57).contains($0) || "+-.eE".utf8.contains($0) }),
        let value = Double(text), value.isFinite
      else { return nil }
      return value
    }

    /// Milliseconds: nothing that anybody measures, or whose digits are lost, lies outside of 10⁻¹⁵ to 10¹⁵.
    static func milliseconds(_ text: some StringProtocol) -> Double? {
      decimal(text).flatMap { (1e-15...1e15).contains($0) ? $0 : nil }
    }

    /// The number; NaN where there is none.
    func number() throws -> Double {
      switch text {
      case "": return .nan
      case "inf": return .infinity
      case "-inf": return -.infinity
      default:
        guard let value = Self.decimal(text) else { throw error("'\(text)' is not a number") }
        if let reason = StoredRange.refusal(of: value) { throw error(reason) }
        return value
      }
    }

    /// The number that is not negative: an amount, a rate, a ratio, an error. NaN where there is none.
    func amount() throws -> Double {
      let value = try number()
      if value < 0 { throw error("\(text) is out of range: at least 0 is possible") }
      return value
    }

    /// The time in milliseconds, 0 where it was too short; NaN where there is none.
    func time() throws -> Double {
      let value = try number()
      guard value.isNaN || (0...1e15).contains(value) else {
        throw error("\(text) is out of range: 0 to 1e15 milliseconds are possible")
      }
      return value
    }

    /// The whole number, which has to be in a range.
    func integer(in range: ClosedRange<Int>) throws -> Int {
      guard let value = Int(text) else { throw error("'\(text)' is not a whole number") }
      guard range.contains(value) else {
        throw error("\(value) is out of range: \(range.lowerBound) to \(range.upperBound) are possible")
      }
      return value
    }

    /// The whole number in a range, nil where there is none.
    func optionalInteger(in range: ClosedRange<Int>) throws -> Int? {
      text.isEmpty ? nil : try integer(in: range)
    }

    /// `true` or `false`.
    func bool() throws -> Bool {
      guard let value = Bool(text) else { throw error("'\(text)' is neither true nor false") }
      return value
    }

    /// The value of an enumeration that has this name.
    func value<Value: RawRepresentable & CaseIterable>(of _: Value.Type, _ kind: String) throws -> Value
    where Value.RawValue == String {
      guard let value = Value(rawValue: text) else {
        let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
        throw error("'\(text)' is no \(kind); known: \(known)")
      }
      return value
    }
  }

  /// The text that fields come from.
  final class Source: Sendable {
    let file: String
    let bytes: [UInt8]

    init(file: String, bytes: [UInt8]) {
      self.file = file
      self.bytes = bytes
    }

    /// The line and column of a byte, both from 1, and what is wrong there.
    func error(at offset: Int, _ reason: String) -> HarnessError {
      let offset = min(offset, bytes.count)
      let newline = UInt8(ascii: "\n")
      let line = bytes[..<offset].count { $0 == newline } + 1
      let start = (bytes[..<offset].lastIndex(of: newline) ?? -1) + 1
      let end = bytes[offset...].firstIndex(of: newline) ?? bytes.count
      let column = String(decoding: bytes[start..<offset], as: UTF8.self).count + 1
      let text = String(decoding: bytes[start..<end], as: UTF8.self)
      return .malformedLine(file: file, line: line, column: column, text: text, reason: reason)
    }
  }

  let source: Source
  /// The names of the columns.
  public let header: [String]
  /// Rows of as many fields as there are columns.
  public let rows: [[Field]]
  private let columns: [String: Int]

  /// Reads a text.
  ///
  /// - Parameter file: its name in errors.
  /// - Throws: `HarnessError.malformedLine`: a quote where none can be, a row of another length than the header, a column of the
  ///   same name twice, no header at all.
  public init(parsing text: String, file: String) throws {
    source = Source(file: file, bytes: Array(text.utf8))
    var records = try CSVTable.records(source)
    guard !records.isEmpty else { throw source.error(at: 0, "it is empty, a header is needed") }
    let names = records.removeFirst()
    var columns: [String: Int] = [:]
    for (index, name) in names.enumerated() {
      if columns.updateValue(index, forKey: name.text) != nil {
        throw name.error("the column '\(name.text)' is there twice")
      }
    }
    for record in records where record.count != names.count {
      throw (record.last ?? names[0]).error(
        "the row has \(record.count) fields, the header has \(names.count)")
    }
    header = names.map(\.text)
    rows = records
    self.columns = columns
  }

  /// The index of a column.
  ///
  /// - Throws: `HarnessError.malformedLine` that names the column which is not there.
  public func column(_ name: String) throws -> Int {
    guard let index = columns[name] else { throw source.error(at: 0, "there is no column '\(name)'") }
    return index
  }

  /// The index of a column that may be missing.
  public func columnIfAny(_ name: String) -> Int? { columns[name] }

  private static func records(_ source: Source) throws -> [[Field]] {
    let bytes = source.bytes
    let (quote, comma) = (UInt8(ascii: "\""), UInt8(ascii: ","))
    let (newline, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
    var records: [[Field]] = []
    var position = 0
    while position < bytes.count {
      var record: [Field] = []
      var isOpen = true
      while isOpen {
        let start = position
        var content: [UInt8] = []
        if position < bytes.count, bytes[position] == quote {
          position += 1
          while true {
            guard position < bytes.count else { throw source.error(at: start, "a quote that does not end") }
            if bytes[position] == quote {
              position += 1
              guard position < bytes.count, bytes[position] == quote else { break }
            }
            content.append(bytes[position])
            position += 1
          }
        } else {
          while position < bytes.count, bytes[position] != comma, bytes[position] != newline {
            if bytes[position] == quote {
              throw source.error(at: position, "a quote inside of a field without quotes")
            }
            content.append(bytes[position])
            position += 1
          }
          let endsLine = position == bytes.count || bytes[position] == newline
          if endsLine && content.last == carriageReturn { content.removeLast() }
        }
        if position + 1 < bytes.count, bytes[position] == carriageReturn, bytes[position + 1] == newline {
          position += 1
        }
        record.append(
          Field(
            text: CSV.unescaped(String(decoding: content, as: UTF8.self)), offset: start, source: source))
        if position < bytes.count && bytes[position] != comma && bytes[position] != newline {
          throw source.error(at: position, "text after the end of a quoted field")
        }
        isOpen = position < bytes.count && bytes[position] == comma
        position += 1
      }
      records.append(record)
    }
    return records
  }
}

/// The `phases` column: `input transform=0.12;products=1.3`, milliseconds.
enum PhaseText {
  static func text(_ phases: [(name: String, seconds: Double)]) -> String {
    phases.map { phase in
      let name = String(phase.name.map { $0 == ";" || $0 == "=" ? "," : $0 })
      return "\(name)=\(CSV.number(phase.seconds * 1e3))"
    }.joined(separator: ";")
  }

  static func phases(_ field: CSVTable.Field) throws -> [(name: String, seconds: Double)] {
    try field.text.split(separator: ";").map { part in
      let sides = part.split(separator: "=", omittingEmptySubsequences: false)
      guard sides.count == 2, !sides[0].isEmpty,
        let milliseconds = sides[1] == "0" ? 0 : CSVTable.Field.milliseconds(sides[1])
      else {
        throw field.error("'\(part)' is not a phase: name=milliseconds")
      }
      return (String(sides[0]), milliseconds * 1e-3)
    }
  }
}
