/// What the tests said of a mutant.
enum Verdict: Sendable {
  /// A test failed, or the process ended by a signal or stood still.
  case caught(by: String)
  /// All tests of the filter passed; `reached` if at least the changed lines ran.
  case survived(reached: Bool?)
  /// It cannot be tried here.
  case notApplicable(String)
  /// The mutant or its filter is at fault.
  case error(String)

  static let words = ["caught", "SURVIVED", "not applicable", "ERROR"]

  var word: String {
    switch self {
    case .caught: "caught"
    case .survived: "SURVIVED"
    case .notApplicable: "not applicable"
    case .error: "ERROR"
    }
  }

  var detail: String {
    switch self {
    case .caught(let test): test
    case .survived(nil): "all tests of its filter passed"
    case .survived(true): "its lines ran, and all tests of its filter passed"
    case .survived(false): "no test of its filter runs its lines"
    case .notApplicable(let why), .error(let why): why
    }
  }
}

/// A mutant's verdict and how long the tests took for it.
struct Outcome: Sendable {
  var mutant: Mutant
  var verdict: Verdict
  var seconds: Double = 0
}
