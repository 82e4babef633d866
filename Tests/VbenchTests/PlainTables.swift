import Foundation

/// Tables as they stand in files, read by nothing that the product reads or writes with: what checks a run must not share its mistakes.
enum PlainTables {
  /// The rows of comma-separated values by the names of the header.
  static func csv(_ text: String) throws -> [[String: String]] {
    var records: [[String]] = [[]]
    var field = ""
    var isQuoted = false
    var previous: Character?
    for character in text {
      switch (character, isQuoted) {
      case ("\"", _):
        // A doubled quote ends the field and opens it again.
        if !isQuoted && previous == "\"" { field.append("\"") }
        isQuoted.toggle()
      case (",", false):
        records[records.count - 1].append(field)
        field = ""
      case ("\n", false):
        records[records.count - 1].append(field)
        records.append([])
        field = ""
      default: field.append(character)
      }
      previous = character
    }
    guard records.removeLast().isEmpty, field.isEmpty, let header = records.first else {
      throw PlainTableError("no header, or a last line without an end")
    }
    return try records.dropFirst().map { record in
      guard record.count == header.count else {
        throw PlainTableError("\(record.count) fields below \(header.count) names")
      }
      return Dictionary(uniqueKeysWithValues: zip(header, record))
    }
  }

  /// A table of a Markdown file.
  struct Markdown {
    /// The headings above it: of two and of three signs.
    var section = ""
    var heading = ""
    var header: [String] = []
    var rows: [[String]] = []

    /// The cells of a column, which has to be there.
    func column(_ name: String) throws -> Int {
      guard let index = header.firstIndex(of: name) else {
        throw PlainTableError("the table below '\(section)' '\(heading)' has no column '\(name)'")
      }
      return index
    }
  }

  /// All tables of a Markdown file, in their order.
  static func markdown(_ text: String) -> [Markdown] {
    var tables: [Markdown] = []
    var current = Markdown()
    func end() {
      if !current.header.isEmpty { tables.append(current) }
      (current.header, current.rows) = ([], [])
    }
    for line in text.components(separatedBy: "\n") {
      if line.hasPrefix("### ") {
        end()
        current.heading = String(line.dropFirst(4))
      } else if line.hasPrefix("## ") {
        end()
        (current.section, current.heading) = (String(line.dropFirst(3)), "")
      } else if line.hasPrefix("|") {
        let cells = cells(line)
        if current.header.isEmpty {
          current.header = cells
        } else if !cells.allSatisfy({ !$0.isEmpty && $0.allSatisfy { "-:".contains($0) } }) {
          current.rows.append(cells)
        }
      } else {
        end()
      }
    }
    end()
    return tables
  }

  private static func cells(_ line: String) -> [String] {
    let open = "\u{1}"
    return line.replacingOccurrences(of: "\\|", with: open).split(
      separator: "|", omittingEmptySubsequences: false
    ).dropFirst().dropLast().map {
      $0.trimmingCharacters(in: .whitespaces).replacingOccurrences(of: open, with: "|")
    }
  }

  /// Whether a printed number is `value`, rounded to the digits that are printed; `value` itself has six.
  static func isRounded(_ text: String, of value: Double) -> Bool {
    guard let printed = Double(text) else { return false }
    let parts = text.lowercased().split(separator: "e")
    let decimals =
      parts[0].split(separator: ".", omittingEmptySubsequences: false).dropFirst().first?.count ?? 0
    let unit = pow(10, Double((parts.count > 1 ? Int(parts[1]) ?? 0 : 0) - decimals))
    return abs(printed - value) <= 0.5 * unit + 1e-5 * abs(value)
  }
}

/// What makes a file no table.
struct PlainTableError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
