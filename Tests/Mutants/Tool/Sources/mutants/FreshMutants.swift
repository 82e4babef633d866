import SwiftParser
import SwiftSyntax

/// Mutants that nobody wrote: one operator, literal or call is another. What survives them is read by a person: some change nothing.
enum FreshMutants {
  /// A place where a token may be another.
  struct Candidate {
    var path: String
    var range: Range<Int>
    var old: String
    var new: String
  }

  /// So many mutants of the product's code, the same ones for the same seed and code.
  static func draw(_ count: Int, seed: UInt64, from tree: SourceTree, path part: String) throws -> [Mutant] {
    let paths = tree.files.filter { path in
      path.hasPrefix("Sources/") && (part.isEmpty || path.contains(part)) && !path.hasSuffix(".pb.swift")
        && (path.hasSuffix(".swift") || path.hasSuffix(".inc.h") || path.hasSuffix(".c"))
        && filter(of: path) != nil
    }
    var candidates = try paths.flatMap { try self.candidates(in: tree.source(of: $0), $0) }
    var random = SplitMix(state: seed)
    return try (0..<min(count, candidates.count)).map { index in
      let chosen = candidates.remove(at: Int.random(in: 0..<candidates.count, using: &random))
      return try mutant(chosen, in: tree.source(of: chosen.path), index: index)
    }
  }

  /// The tests of the target that owns a file; nil for what has none.
  static func filter(of path: String) -> String? {
    let parts = path.split(separator: "/").map(String.init)
    let (module, file) = (parts[1], parts.last!)
    guard module == "CConvKernels" else {
      return module == "vbench" || module == "VbenchCLI"
        ? "VbenchTests" : module.hasPrefix("Conv") ? module + "Tests" : nil
    }
    let owners = [
      (["implicit", "depthwise"], "ConvDirectTests"), (["transform"], "ConvWinogradTests"),
      (["fourier", "spectral"], "ConvFFTTests"), (["lines"], "ConvIm2colTests"),
    ]
    let owner = owners.first { $0.0.contains { file.hasPrefix($0) } }
    return owner?.1 ?? (file.hasPrefix("kern_") ? nil : "ConvCoreTests")
  }

  private static func mutant(_ candidate: Candidate, in source: [UInt8], index: Int) throws -> Mutant {
    let newline = UInt8(ascii: "\n")
    let start = source[..<candidate.range.lowerBound].lastIndex(of: newline).map { $0 + 1 } ?? 0
    let end = source[candidate.range.upperBound...].firstIndex(of: newline) ?? source.count
    let line = source[..<start].count { $0 == newline }
    func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
    let new =
      text(source[start..<candidate.range.lowerBound]) + candidate.new
      + text(source[candidate.range.upperBound..<end])
    let file = candidate.path.split(separator: "/").suffix(2).joined(separator: "/")
    var hunk = Mutant.Hunk(
      file: file, old: [text(source[start..<end])], new: [new.drop { $0 == " " }.description])
    hunk.line = line
    return Mutant(
      name: "fresh-\(index + 1)",
      title: "\(file):\(line + 1): '\(candidate.old)' is '\(candidate.new)'.",
      filter: filter(of: candidate.path)!, hunks: [hunk])
  }

  private static func candidates(in source: [UInt8], _ path: String) -> [Candidate] {
    let isSwift = path.hasSuffix(".swift")
    let regions = SwitchedFile.regions(in: source, isSwift: isSwift)
    let found = isSwift ? SwiftTokens.of(source) : CTokens.of(source)
    return found.filter { token in
      regions.contains { $0.contains(Edit(range: token.range, replacement: [])) }
    }.map { Candidate(path: path, range: $0.range, old: $0.old, new: $0.new) }
  }

  fileprivate typealias Token = (range: Range<Int>, old: String, new: String)

  fileprivate static let swaps = [
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "/",
    "/": "*", "&&": "||",
    "||": "&&", "+=": "-=", "-=": "+=", "..<": "...", "min": "max", "max": "min", "true": "false",
    "false": "true",
  ]

  private final class SwiftTokens: SyntaxVisitor {
    var tokens: [Token] = []

    static func of(_ source: [UInt8]) -> [Token] {
      let visitor = SwiftTokens(viewMode: .sourceAccurate)
      visitor.walk(Parser.parse(source: String(decoding: source, as: UTF8.self)))
      return visitor.tokens
    }

    private func add(_ token: TokenSyntax, _ new: String?) {
      guard let new else { return }
      let start = token.positionAfterSkippingLeadingTrivia.utf8Offset
      tokens.append((start..<token.endPositionBeforeTrailingTrivia.utf8Offset, token.text, new))
    }

    override func visit(_ node: BinaryOperatorExprSyntax) -> SyntaxVisitorContinueKind {
      add(node.operator, FreshMutants.swaps[node.operator.text])
      return .visitChildren
    }

    override func visit(_ node: BooleanLiteralExprSyntax) -> SyntaxVisitorContinueKind {
      add(node.literal, FreshMutants.swaps[node.literal.text])
      return .visitChildren
    }

    override func visit(_ node: IntegerLiteralExprSyntax) -> SyntaxVisitorContinueKind {
      add(node.literal, Int(node.literal.text).map { "\($0 + 1)" })
      return .visitChildren
    }

    override func visit(_ node: FunctionCallExprSyntax) -> SyntaxVisitorContinueKind {
      if let name = node.calledExpression.as(DeclReferenceExprSyntax.self), name.argumentNames == nil {
        let text = name.baseName.text
        if text == "min" || text == "max" { add(name.baseName, FreshMutants.swaps[text]) }
      }
      return .visitChildren
    }

    /// Texts are looked at by people and snapshots.
    override func visit(_ node: StringLiteralExprSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
  }

  private enum CTokens {
    /// Operators between blanks, so that neither pointers nor signs are taken for them.
    static func of(_ source: [UInt8]) -> [Token] {
      let text = String(decoding: source, as: UTF8.self)
      return text.matches(of: /\ (<=|>=|==|!=|<|>|\+|-|\*|&&|\|\||\+=)(?= )/).compactMap { match in
        let old = String(match.output.1)
        let start = text.utf8.distance(from: text.startIndex, to: match.range.lowerBound) + 1
        guard let new = FreshMutants.swaps[old], !isComment(text, match.range.lowerBound) else { return nil }
        return (start..<(start + old.utf8.count), old, new)
      }
    }

    private static func isComment(_ text: String, _ place: String.Index) -> Bool {
      let start = text[..<place].lastIndex(of: "\n") ?? text.startIndex
      return text[start..<place].contains("//")
    }
  }

  /// Sebastiano Vigna's splitmix64.
  private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }
}
