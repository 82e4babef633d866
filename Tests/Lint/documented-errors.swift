// Demands that every error that a doc comment names is declared: the types and cases in backticks that end in Error, and whatever a
// `- Throws:` names. Run from the root of the package: swift Tests/Lint/documented-errors.swift
import Foundation

/// What the sources declare: names of types, and of each type that could be an error its cases and static members.
struct Declarations {
  var types: Set<String> = []
  var cases: [String: Set<String>] = [:]

  /// Reads a file: a type's body ends with the brace that its declaration opened.
  mutating func read(_ text: String) {
    var open: [(name: String, depth: Int)] = []
    var depth = 0
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      let bytes = line.drop { $0 == UInt8(ascii: " ") }
      if bytes.starts(with: "//".utf8) { continue }
      var declared: String?
      // Regular expressions are slow: few lines need one.
      if bytes.starts(with: "case ".utf8) || bytes.starts(with: "indirect ".utf8)
        || mentionsDeclaration(bytes)
      {
        let code = String(decoding: bytes, as: UTF8.self)
        if let match = code.firstMatch(
          of: #/\b(?:enum|struct|class|actor|protocol|extension|typealias)\s+([A-Za-z_][\w.]*)/#)
        {
          let name = String(match.1.split(separator: ".").last!)
          types.insert(name)
          declared = name
        }
        if let owner = open.last?.name {
          if let match = code.firstMatch(of: #/^(?:indirect )?case (.+)$/#) {
            // case a, b(Int, String), c = "text"
            let bare = String(match.1).replacing(#/\([^)]*\)/#, with: "").replacing(#/"[^"]*"/#, with: "")
            for part in bare.split(separator: ",") {
              if let name = part.firstMatch(of: #/^\s*(\w+)/#) {
                cases[owner, default: []].insert(String(name.1))
              }
            }
          }
          if let match = code.firstMatch(of: #/\bstatic (?:let|var|func) (\w+)/#) {
            cases[owner, default: []].insert(String(match.1))
          }
        }
      }
      let (opening, closing) = braces(bytes)
      if let declared, opening > closing { open.append((declared, depth)) }
      depth += opening - closing
      while let last = open.last, depth <= last.depth { open.removeLast() }
    }
  }

  private func mentionsDeclaration(_ line: Substring.UTF8View.SubSequence) -> Bool {
    let words = ["enum", "struct", "class", "actor", "protocol", "extension", "typealias", "static"]
    return line.split(separator: UInt8(ascii: " ")).prefix(6).contains { word in
      words.contains { word.elementsEqual($0.utf8) }
    }
  }

  /// Opening and closing braces that stand in no string of the line.
  private func braces(_ line: Substring.UTF8View.SubSequence) -> (opening: Int, closing: Int) {
    var (opening, closing, isText, isEscaped) = (0, 0, false, false)
    for byte in line {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isText.toggle()
      } else if !isText {
        if byte == UInt8(ascii: "{") { opening += 1 }
        if byte == UInt8(ascii: "}") { closing += 1 }
      }
    }
    return (opening, closing)
  }

  /// What is wrong with a name such as `ConvError.operand` or `HarnessError`; nil where it is declared.
  func objection(to name: String) -> String? {
    let parts = name.split(separator: ".").map(String.init)
    guard let last = parts.last, let first = parts.first else { return nil }
    if last.first?.isUppercase == true { return types.contains(last) ? nil : "no type \(last)" }
    let owner = parts.count > 1 ? parts[parts.count - 2] : first
    guard types.contains(owner) else { return "no type \(owner)" }
    // What a function of another type throws may be named by it.
    guard owner.hasSuffix("Error") else { return nil }
    return cases[owner]?.contains(last) == true ? nil : "\(owner) has no case \(last)"
  }
}

/// The objections to a file's doc comments, with their lines.
func objections(_ text: String, _ declarations: Declarations) -> [(line: Int, text: String)] {
  var found: [(Int, String)] = []
  var isThrows = false
  var owner: String?
  for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    .enumerated()
  {
    let bytes = line.drop { $0 == UInt8(ascii: " ") }
    guard bytes.starts(with: "///".utf8) else {
      (isThrows, owner) = (false, nil)
      continue
    }
    let comment = String(decoding: bytes, as: UTF8.self)
    let words = comment.dropFirst(3).trimmingCharacters(in: .whitespaces)
    if words.hasPrefix("- ") || words.isEmpty {
      (isThrows, owner) = (words.lowercased().hasPrefix("- throws"), nil)
    }
    guard words.utf8.contains(UInt8(ascii: "`")) else { continue }
    for match in words.matches(of: #/`(\.?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`/#) {
      let name = String(match.1)
      let isError = name.contains(#/(^|\.)[A-Z]\w*Error($|\.)/#)
      if name.hasPrefix(".") {
        // `.malformed` after `FileError.missingInput` is of the same type.
        guard isThrows, let owner else { continue }
        if let objection = declarations.objection(to: owner + name) {
          found.append((index + 1, "`\(name)`: \(objection)"))
        }
      } else if isError || isThrows && name.first!.isUppercase {
        if let objection = declarations.objection(to: name) {
          found.append((index + 1, "`\(name)`: \(objection)"))
        }
        let parts = name.split(separator: ".").map(String.init)
        owner = parts.last { $0.first!.isUppercase }
      }
    }
  }
  return found
}

/// The Swift files of a folder; build products lie elsewhere.
func files(_ folder: String) -> [String] {
  let all = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
  return all.filter { $0.hasSuffix(".swift") && !$0.contains(".build/") }.sorted().map { "\(folder)/\($0)" }
}

func text(_ path: String) throws -> String {
  try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
}

let folders =
  CommandLine.arguments.count > 1 ? Array(CommandLine.arguments.dropFirst()) : ["Sources", "Tests"]
var declarations = Declarations()
let paths = folders.flatMap(files)
for path in paths { declarations.read(try text(path)) }
var count = 0
for path in paths {
  for objection in objections(try text(path), declarations) {
    print("\(path):\(objection.line): \(objection.text)")
    count += 1
  }
}
if paths.isEmpty {
  print("no Swift files in \(folders.joined(separator: ", "))")
  exit(1)
}
if count > 0 {
  FileHandle.standardError.write(Data("\(count) names of errors in doc comments are not declared\n".utf8))
  exit(1)
}
