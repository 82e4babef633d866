import SwiftParser
import SwiftSyntax

/// A part of a source file that can stand there once per mutant, with a switch in front.
struct Region: Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    /// What stands between the braces of a Swift function; `value` if it gives one.
    case body(value: Bool)
    /// An initial value or a default argument.
    case expression
    /// What stands between braces in C.
    case block
  }

  /// In bytes.
  var range: Range<Int>
  var kind: Kind

  func contains(_ edit: Edit) -> Bool {
    range.lowerBound <= edit.range.lowerBound && edit.range.upperBound <= range.upperBound
  }
}

/// The outermost functions and initial values of a Swift file.
final class SwiftRegions: SyntaxVisitor {
  private(set) var regions: [Region] = []

  static func of(_ source: [UInt8]) -> [Region] {
    let visitor = SwiftRegions(viewMode: .sourceAccurate)
    visitor.walk(Parser.parse(source: String(decoding: source, as: UTF8.self)))
    return visitor.regions
  }

  private func add(_ body: CodeBlockSyntax?, value: Bool) -> SyntaxVisitorContinueKind {
    guard let body else { return .visitChildren }
    let start = body.leftBrace.endPositionBeforeTrailingTrivia.utf8Offset
    let end = body.rightBrace.positionAfterSkippingLeadingTrivia.utf8Offset
    regions.append(Region(range: start..<end, kind: .body(value: value)))
    return .skipChildren
  }

  /// Default arguments lie before the body that hides them from the walk.
  private func addDefaults(_ parameters: FunctionParameterListSyntax) {
    for parameter in parameters { _ = parameter.defaultValue.map(add) }
  }

  private func add(_ clause: InitializerClauseSyntax) {
    let value = clause.value
    let start = value.positionAfterSkippingLeadingTrivia.utf8Offset
    regions.append(
      Region(range: start..<value.endPositionBeforeTrailingTrivia.utf8Offset, kind: .expression))
  }

  override func visit(_ node: FunctionDeclSyntax) -> SyntaxVisitorContinueKind {
    addDefaults(node.signature.parameterClause.parameters)
    let type = node.signature.returnClause?.type.trimmedDescription
    return add(node.body, value: type != nil && type != "Void" && type != "()" && type != "Never")
  }

  override func visit(_ node: InitializerDeclSyntax) -> SyntaxVisitorContinueKind {
    addDefaults(node.signature.parameterClause.parameters)
    return add(node.body, value: false)
  }

  override func visit(_ node: DeinitializerDeclSyntax) -> SyntaxVisitorContinueKind {
    add(node.body, value: false)
  }

  override func visit(_ node: AccessorDeclSyntax) -> SyntaxVisitorContinueKind {
    add(node.body, value: node.accessorSpecifier.tokenKind == .keyword(.get))
  }

  override func visit(_ node: AccessorBlockSyntax) -> SyntaxVisitorContinueKind {
    guard case .getter = node.accessors else { return .visitChildren }
    let start = node.leftBrace.endPositionBeforeTrailingTrivia.utf8Offset
    let end = node.rightBrace.positionAfterSkippingLeadingTrivia.utf8Offset
    regions.append(Region(range: start..<end, kind: .body(value: true)))
    return .skipChildren
  }

  override func visit(_ node: InitializerClauseSyntax) -> SyntaxVisitorContinueKind {
    // A compiler takes too long over a choice between two long tables: of these only the closures are switched.
    let entries = Closures(viewMode: .sourceAccurate)
    entries.walk(node.value)
    if entries.regions.count > 8 { regions += entries.regions } else { add(node) }
    return .skipChildren
  }
}

/// The outermost closures of an expression.
private final class Closures: SyntaxVisitor {
  private(set) var regions: [Region] = []

  override func visit(_ node: ClosureExprSyntax) -> SyntaxVisitorContinueKind {
    let start = node.statements.positionAfterSkippingLeadingTrivia.utf8Offset
    let end = node.statements.endPositionBeforeTrailingTrivia.utf8Offset
    // Statements are checked after the table, an expression together with it.
    regions.append(Region(range: start..<end, kind: .body(value: true)))
    return .skipChildren
  }
}

/// A body of Swift statements as it may stand in a branch: what was an implicit return becomes one in words.
func branch(_ text: String, givesValue: Bool) -> String {
  guard givesValue else { return text }
  let items = Parser.parse(source: text).statements
  guard items.count == 1, let item = items.first else { return text }
  let isValue =
    switch item.item {
    case .expr: true
    // A choice between values, unless its branches return by themselves.
    case .stmt(let statement):
      statement.is(ExpressionStmtSyntax.self)
        && !statement.tokens(viewMode: .sourceAccurate).contains { $0.tokenKind == .keyword(.return) }
    case .decl: false
    }
  guard isValue else { return text }
  let start = item.positionAfterSkippingLeadingTrivia.utf8Offset
  let bytes = Array(text.utf8)
  return String(decoding: bytes[..<start], as: UTF8.self) + "return "
    + String(decoding: bytes[start...], as: UTF8.self)
}
