// Tables whose rows become lists of named values where the page is narrow.
extension HTMLReport {
  /// A cell, its content written as HTML.
  struct Cell {
    let content: String
    /// What is sorted by, as in the files.
    let value: Double?
    /// Classes of the style sheet.
    let style: String

    init(_ content: String, style: String = "") {
      (self.content, value, self.style) = (content, nil, style)
    }

    init(_ content: String, isNumber: Bool) { self.init(content, style: isNumber ? "n" : "") }

    init(_ content: String, value: Double?) { (self.content, self.value, style) = (content, value, "n") }
  }

  /// A table of such rows; `heads` are written as HTML.
  func foldedTable(_ name: String, heads: [(name: String, isNumber: Bool)], rows: String) -> String {
    let head = heads.map { "<th\($0.isNumber ? " class=\"n\"" : "") scope=\"col\">\($0.name)</th>" }.joined()
    return "<div class=\"scroll\"><table class=\"\(name) fold\"><thead><tr>\(head)</tr></thead><tbody>\(rows)"
      + "</tbody></table></div>"
  }

  /// A row that names its values, for when the head is not shown.
  func foldedRow(_ cells: [Cell], heads: [String]) -> String {
    let cells = zip(cells, heads).map { cell, head in
      "<td\(cell.style.isEmpty ? "" : " class=\"\(cell.style)\"")\(HTMLReport.label(head))"
        + "\(cell.value.map { " data-v=\"\(CSV.number($0))\"" } ?? "")>\(cell.content)</td>"
    }
    return "<tr>\(cells.joined())</tr>"
  }

  /// The attribute by which a cell names its column.
  static func label(_ head: String) -> String { head.isEmpty ? "" : " data-label=\"\(head)\"" }
}
