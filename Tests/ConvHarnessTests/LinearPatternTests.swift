import Testing

@testable import ConvHarness

@Suite struct LinearPatternTests {
  private static let texts = [
    "", "a", "b", "ab", "aab", "abc", "ba", "aaaa", "abab", "ic3ih8oc4", "mb1ic16ih28kh3nconv_1", "-", "]",
    "a]", "9", "x9_",
    " ", "a b", "^a", "a$", ".", "aé", "é", "\\", "{", "a{2}",
  ]

  private func isFound(_ expression: String, _ text: String) throws -> Bool {
    var work = 0
    return try LinearPattern(expression).isFound(in: text, work: &work)
  }

  /// Anywhere in the text, as Swift's own engine finds it, for all that both know.
  @Test(arguments: [
    "", "a", "a*", "a+b?", "(ab)*", "(?:ab)+", "a|b|", "(a|b)*c?", "[ab]+", "[^a]", "[a-c]*", "a{2}", "a{2,}",
    "a{0,3}",
    "(a|ab)(b|)", ".*kh3[^0-9].*", ".", ".*", "\\d+", "\\w*", "\\s", "\\D", "\\W", "\\S*", "x?\\d_", "^a$",
    "^", "a^b",
    "(^a|b)+", "a*?b", "a??", "a{1,2}?b", "[\\]]", "[-a]+", "[a-]+", "a\\$", "\\.", "\\\\", "[\\d_x]+",
    "((a*)*)*b",
    "(a|a)*b", "ic[0-9]+ih8.*", "(a{2}){2}", "()*a", "[^\\d]", "é", "a.", "\\{",
    "a\\{2\\}", "b$", "^ab$", "\\ba", "\\bb", "a\\b", "\\Bb", "a\\Bb", "^(a|b)$", "c4$|^a", "(^|x)9",
  ])
  func matchesAsSwiftDoes(_ expression: String) throws {
    // Words end where characters of ASCII do, as in Perl; Swift's own ends are those of Unicode.
    let theirs = try Regex(expression).wordBoundaryKind(.simple)
    // Letters are those of ASCII here, as in benchdnn's expressions.
    let hasLetters = ["\\w", "\\b"].contains(where: expression.lowercased().contains)
    for text in Self.texts where !hasLetters || text.utf8.allSatisfy({ $0 < 128 }) {
      let expected = try theirs.firstMatch(in: text) != nil
      #expect(try isFound(expression, text) == expected, "'\(expression)' and '\(text)'")
    }
  }

  /// What a matcher that goes back over the text needs ages for.
  @Test func takesNoAges() throws {
    let text = "ic" + String(repeating: "a", count: 5000)
    for expression in ["(i|i)*(c|c)*((a*)*)*b", "(a|aa|i|c)+b", "(.*)*x", "(a?i?c?){300}b"] {
      #expect(try !isFound(expression, text), "\(expression)")
    }
    #expect(try isFound("^(i|i)*(c|c)*((a*)*)*$", text))
  }

  /// At each place of the text the steps that are tried there, one more, and the ranges of each that reads a character.
  @Test func comparisonsAreCounted() throws {
    var work = 0
    let text = String(repeating: "a", count: 100)
    #expect(try !LinearPattern("b").isFound(in: text, work: &work))
    #expect(work == 101 * 2 + 100, "\(work)")
    work = 0
    #expect(try !LinearPattern("(a?){200}b").isFound(in: text, work: &work))
    #expect(work == 101 * 402 + 100 * 201, "\(work)")
  }

  @Test(arguments: [
    ("a(b", 3, "')' expected"), ("a)b", 1, "')' without"), ("*a", 0, "nothing before"),
    ("a**", 2, "after a repetition"),
    ("a{3,2}", 5, "ends before"), ("a{2", 3, "'}' expected"), ("a{x}", 2, "a number"),
    ("a{1001}", 2, "more than 1000"),
    ("[a", 0, "without ']'"), ("[b-a]", 3, "is no range"), ("a\\", 2, "nothing follows"),
    ("\\q", 0, "is none of"),
    ("(?=a)", 0, "(?:"), ("a(?<!b)", 1, "no looking"), ("(?i)a", 0, "no options"), ("\\1", 0, "is none of"),
    ("[[:alpha:]]", 1, "no classes"),
    ("[\\D]", 1, "inside of"),
    (String(repeating: "(", count: 100_000), 50, "nested deeper"),
    ("(a{1000}){1000}", 0, "more than 2000 steps"),
  ])
  func whatIsNoExpression(_ text: String, _ offset: Int, _ reason: String) {
    #expect {
      try LinearPattern(text)
    } throws: { error in
      guard let error = error as? LinearPattern.SyntaxError else { return false }
      return error.offset == offset && error.reason.contains(reason)
    }
  }

  /// Nothing, a thousand times a thousand times …
  @Test func nothingIsNotRepeated() throws {
    let text = String(repeating: "(", count: 30) + String(repeating: "){1000}", count: 30)
    #expect(try isFound("^\(text)$", ""))
    #expect(try !isFound("^\(text)$", "a"))
  }
}
