public import ConvCore
public import ConvHarness
import Foundation

/// What one verification of a table found.
public struct SharpnessRow: Sendable, Hashable {
  /// What an engine is verified for.
  public enum Table: String, Sendable, Hashable, CaseIterable {
    /// Coarse engines on the layers of the suites.
    case coarse
    /// Honest engines on the same.
    case honest
    /// Honest engines on a few problems with data of every distribution.
    case data
  }

  public var table: Table
  /// A coarse engine's defect and honest engine, as in `lost-tap-last of direct`; an honest engine's name.
  public var engine: String
  public var suite, layer: String
  public var problem: ConvProblem
  public var pass: ConvPass
  public var format: MemoryFormat
  /// Data of the attempt that decided.
  public var distribution: DataDistribution
  /// How often it was verified.
  public var attempts: Int
  public var verdict: Verdict
  public var errorRatio, projectionRatio, effectiveBits: Double
  public var isCorrelated: Bool
  public var reason: String

  /// A row with what a trial found.
  public init(
    _ table: Table, engine: String, suite: String, layer: String, problem: ConvProblem, pass: ConvPass,
    format: MemoryFormat, _ finding: SharpnessTrial.Finding
  ) {
    self.table = table
    self.engine = engine
    self.suite = suite
    self.layer = layer
    self.problem = problem
    self.pass = pass
    self.format = format
    distribution = finding.distribution
    attempts = finding.attempts
    let verification = finding.verification
    verdict = verification.verdict
    errorRatio = verification.errorRatio
    projectionRatio = verification.projectionRatio
    effectiveBits = verification.effectiveBits
    isCorrelated = verification.isCorrelated
    // What failed says so by its ratio; the others' reasons stand in the lists of the report.
    reason = verdict == .failed && errorRatio.isFinite ? "" : verification.reason
  }

  /// What no other row of a run has in common with it.
  public struct Key: Hashable, Sendable {
    let table: Table, engine: String, problem: ConvProblem, pass: ConvPass, format: MemoryFormat
    let distribution: DataDistribution?

    /// - Parameter distribution: of the table of distributions only.
    public init(
      _ table: Table, _ engine: String, _ problem: ConvProblem, _ pass: ConvPass, _ format: MemoryFormat,
      _ distribution: DataDistribution?
    ) {
      (self.table, self.engine, self.problem, self.pass) = (table, engine, problem, pass)
      (self.format, self.distribution) = (format, distribution)
    }
  }

  /// Its key.
  public var key: Key { Key(table, engine, problem, pass, format, table == .data ? distribution : nil) }
}

extension SharpnessRow {
  /// The columns of a line.
  public static let header =
    "table,engine,suite,layer,problem,pass,format,data,attempts,verdict,error_ratio,projection_ratio,"
    + "effective_bits,correlated,reason"

  /// The row as a line of a table of comma-separated values.
  public var line: String {
    let fields = [
      table.rawValue, engine, suite, layer, "\(problem)", pass.rawValue, format.rawValue,
      distribution.rawValue, "\(attempts)", verdict.rawValue, short(errorRatio), short(projectionRatio),
      short(effectiveBits), isCorrelated ? "yes" : "", reason,
    ]
    return fields.map { field in
      field.contains(where: { ",\"\n".contains($0) })
        ? "\"\(field.replacing("\"", with: "\"\"").replacing("\n", with: " "))\"" : field
    }.joined(separator: ",")
  }

  /// The rows of such lines, header included.
  ///
  /// - Throws: `HarnessError` for what is none.
  public static func rows(parsing text: String, file: String) throws -> [SharpnessRow] {
    let csv = try CSVTable(parsing: text, file: file)
    return try csv.rows.map { fields in
      func field(_ name: String) throws -> CSVTable.Field { fields[try csv.column(name)] }
      func value<Value: RawRepresentable>(_ name: String) throws -> Value where Value.RawValue == String {
        let field = try field(name)
        guard let value = Value(rawValue: field.text) else {
          throw field.error("'\(field.text)' is no \(name)")
        }
        return value
      }
      func number(_ name: String) throws -> Double {
        let field = try field(name)
        if field.text.isEmpty { return .nan }
        guard let number = Double(field.text) else { throw field.error("'\(field.text)' is no number") }
        return number
      }
      return SharpnessRow(
        table: try value("table"), engine: try field("engine").text, suite: try field("suite").text,
        layer: try field("layer").text, problem: try ConvProblem(parsing: field("problem").text),
        pass: try value("pass"), format: try value("format"), distribution: try value("data"),
        attempts: Int(try number("attempts")), verdict: try value("verdict"),
        errorRatio: try number("error_ratio"), projectionRatio: try number("projection_ratio"),
        effectiveBits: try number("effective_bits"), isCorrelated: try field("correlated").text == "yes",
        reason: try field("reason").text)
    }
  }

  private init(
    table: Table, engine: String, suite: String, layer: String, problem: ConvProblem, pass: ConvPass,
    format: MemoryFormat, distribution: DataDistribution, attempts: Int, verdict: Verdict,
    errorRatio: Double, projectionRatio: Double, effectiveBits: Double, isCorrelated: Bool, reason: String
  ) {
    self.table = table
    self.engine = engine
    self.suite = suite
    self.layer = layer
    self.problem = problem
    self.pass = pass
    self.format = format
    self.distribution = distribution
    self.attempts = attempts
    self.verdict = verdict
    self.errorRatio = errorRatio
    self.projectionRatio = projectionRatio
    self.effectiveBits = effectiveBits
    self.isCorrelated = isCorrelated
    self.reason = reason
  }
}

/// Four significant digits; nothing for what is no number.
func short(_ value: Double) -> String {
  if value.isNaN { return "" }
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : value > 0 ? "inf" : "-inf" }
  let text = String(format: "%.4g", value)
  return text
}
