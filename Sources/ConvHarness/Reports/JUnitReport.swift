import ConvCore
import Foundation

/// Test results as JUnit XML, which continuous-integration services read: one suite per suite and engine, one case per check.
public struct JUnitReport: Sendable {
  /// How a case ended.
  public enum Outcome: Sendable, Hashable {
    case passed
    /// What is wrong, of which kind, and the command that shows it again.
    case failed(kind: String, reason: String, repro: String)
    /// Why it was not run.
    case skipped(reason: String)
  }

  /// One check.
  public struct Case: Sendable, Hashable {
    /// The group that it belongs to, dots between its parts: `resnet50.winograd`.
    public var suite: String
    /// What was checked; unique within the suite.
    public var name: String
    public var outcome: Outcome
    /// Seconds that one execution took; nil where none was timed.
    public var seconds: Double?
    /// What is to be known of it, however it ended; empty where there is nothing.
    public var note: String

    /// A case that was checked.
    public init(
      suite: String, name: String, outcome: Outcome, seconds: Double? = nil, note: String = ""
    ) {
      self.suite = suite
      self.name = name
      self.outcome = outcome
      self.seconds = seconds
      self.note = note
    }
  }

  /// What the whole is called: `vbench run`.
  public var name: String
  public var cases: [Case]

  /// A report of the given cases.
  public init(name: String, cases: [Case] = []) {
    self.name = name
    self.cases = cases
  }

  /// Cases that failed.
  public var failures: Int { JUnitReport.failures(cases) }

  private static func failures(_ cases: [Case]) -> Int {
    cases.count {
      if case .failed = $0.outcome { true } else { false }
    }
  }

  /// The XML document: `testsuites`, in it one `testsuite` per group in the order of the cases.
  public var text: String {
    var order: [String] = []
    var groups: [String: [Case]] = [:]
    for test in cases {
      if groups[test.suite] == nil { order.append(test.suite) }
      groups[test.suite, default: []].append(test)
    }
    let suites = order.map { name -> String in
      let cases = groups[name] ?? []
      return XMLText.element(
        "testsuite", JUnitReport.attributes(name, cases), "\n" + cases.map(JUnitReport.element).joined())
    }
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      + XMLText.element(
        "testsuites", JUnitReport.attributes(name, cases), "\n" + suites.map { $0 + "\n" }.joined())
      + "\n"
  }

  private static func attributes(_ name: String, _ cases: [Case]) -> [(String, String)] {
    let skipped = cases.count {
      if case .skipped = $0.outcome { true } else { false }
    }
    return [
      ("name", line(name)), ("tests", "\(cases.count)"), ("failures", "\(failures(cases))"), ("errors", "0"),
      ("skipped", "\(skipped)"), ("time", seconds(cases.compactMap(\.seconds).reduce(0, +))),
    ]
  }

  private static func element(_ test: Case) -> String {
    var attributes = [("classname", line(test.suite)), ("name", line(test.name))]
    if let seconds = test.seconds { attributes.append(("time", self.seconds(seconds))) }
    var content: String?
    switch test.outcome {
    case .passed: content = nil
    case .failed(let kind, let reason, let repro):
      content = XMLText.element(
        "failure", [("type", line(kind)), ("message", line(reason))],
        XMLText.escaped(repro.isEmpty ? reason : "\(reason)\n\(repro)"))
    case .skipped(let reason): content = XMLText.element("skipped", [("message", line(reason))])
    }
    if !test.note.isEmpty {
      content = (content ?? "") + XMLText.element("system-out", [], XMLText.escaped(test.note))
    }
    return XMLText.element("testcase", attributes, content) + "\n"
  }

  /// Attributes hold one line: a parser would turn the breaks into blanks in any case.
  private static func line(_ text: String) -> String {
    text.split { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }.joined(separator: " ")
  }

  /// A plain decimal, as schemas demand.
  private static func seconds(_ value: Double) -> String {
    value.isFinite ? String(format: "%.9f", value) : "0"
  }
}

extension JUnitReport {
  /// The rows of a run: declined ones are skipped, every other verdict but `passed` is a failure. Seconds are a row's median.
  public init(_ report: RunReport) {
    self.init(name: "vbench run", cases: report.rows.map(Case.init) + report.training.map(Case.init))
  }
}

extension JUnitReport.Case {
  /// The row of a layer.
  init(_ row: ResultRow) {
    let layer = row.name.isEmpty ? row.problem : "\(row.name) \(row.problem)"
    let conditions =
      "\(row.pass.rawValue) \(row.format.rawValue) \(row.filterState.rawValue), threads: \(row.threads)"
    self.init(
      suite: "\(row.suite).\(row.backend)", name: "\(layer) \(conditions)",
      outcome: .init(row.verification, isFailure: row.verification.verdict != .unsupported, repro: row.repro),
      seconds: row.medianMilliseconds.isFinite ? row.medianMilliseconds * 1e-3 : nil,
      note: JUnitReport.Case.note(row.verification))
  }

  /// What a deterministic bound decided says so.
  private static func note(_ verification: Verification) -> String {
    verification.isCorrelated ? Verification.correlatedSentence : ""
  }

  /// The training steps of a network.
  init(_ row: TrainingRow) {
    let step = Statistics.median(row.stepSeconds)
    var outcome = JUnitReport.Outcome.passed
    if !row.declined.isEmpty {
      outcome = .skipped(reason: row.declined)
    } else if !row.problem.isEmpty {
      outcome = .failed(kind: Verdict.failed.rawValue, reason: row.problem, repro: "")
    } else if let error = row.trajectoryError, error > 1 {
      outcome = .failed(
        kind: Verdict.failed.rawValue,
        reason: "deviates from the stored trajectory by \(RunReport.short(error)) times what is allowed",
        repro: "")
    }
    self.init(
      suite: "\(row.network).\(row.backend)", name: "training, batch \(row.batch), threads: \(row.threads)",
      outcome: outcome, seconds: step.isFinite ? step : nil)
  }

  /// A stored reference; one that lacks the pass is skipped.
  public init(_ outcome: ReferenceCheck.Outcome) {
    self.init(
      suite: "\(outcome.op).\(outcome.backend)", name: "\(outcome.name) \(outcome.operation)",
      outcome: .init(outcome.verification, isFailure: outcome.isFailure, repro: outcome.repro),
      note: JUnitReport.Case.note(outcome.verification))
  }
}

extension JUnitReport.Case {
  /// A law on one problem; one that an engine declines is skipped.
  public init(_ outcome: LawOutcome) {
    let result: JUnitReport.Outcome =
      switch outcome.result {
      case .held: .passed
      case .failed(let reason): .failed(kind: Verdict.failed.rawValue, reason: reason, repro: outcome.repro)
      case .skipped(let reason): .skipped(reason: reason)
      }
    self.init(suite: "\(outcome.law.rawValue).\(outcome.backend)", name: "\(outcome)", outcome: result)
  }
}

extension JUnitReport.Outcome {
  /// A verdict; whether one that is not `passed` is a failure or a skip is the check's to say.
  public init(_ verification: Verification, isFailure: Bool, repro: String) {
    if verification.verdict == .passed {
      self = .passed
    } else if isFailure {
      let verdict = verification.verdict.rawValue
      let reason = verification.reasonText
      self = .failed(kind: verdict, reason: reason.isEmpty ? verdict : reason, repro: repro)
    } else {
      self = .skipped(reason: verification.reason)
    }
  }
}
