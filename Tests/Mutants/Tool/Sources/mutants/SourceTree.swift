import Foundation

/// The working tree as it was when the tool started, and the copy of it that mutants are built in.
struct SourceTree {
  let root: URL
  let copy: URL
  /// Paths of all files that git knows or would add, below the root.
  let files: [String]
  private let byName: [String: [String]]
  /// What is compiled, so that somebody may edit while mutants run.
  private let sources: [String: Data]

  init(root: URL, copy: URL) throws {
    self.root = root
    self.copy = copy
    let list = try runProgram(["git", "ls-files", "-co", "--exclude-standard"], in: root)
    files = Set(list.output.split(separator: "\n").map(String.init)).sorted().filter {
      FileManager.default.fileExists(atPath: root.appending(path: $0).path)
    }
    sources = try Dictionary(
      uniqueKeysWithValues: files.filter { Self.isCompiled($0) }.map {
        ($0, try Data(contentsOf: root.appending(path: $0)))
      })
    byName = Dictionary(
      grouping: sources.keys.filter { !$0.contains("/Mutants/") },
      by: { String($0.split(separator: "/").last!) })
  }

  private static func isCompiled(_ path: String) -> Bool {
    path.hasPrefix("Sources/") || path.hasPrefix("Tests/") || path == "Package.swift"
  }

  /// Stored numbers, reports, documents.
  func copyTheRest() throws {
    for path in files where !Self.isCompiled(path) {
      let (from, to) = (root.appending(path: path), copy.appending(path: path))
      if FileManager.default.contentsEqual(atPath: from.path, andPath: to.path) { continue }
      try? FileManager.default.removeItem(at: to)
      try FileManager.default.createDirectory(
        at: to.deletingLastPathComponent(), withIntermediateDirectories: true)
      try FileManager.default.copyItem(at: from, to: to)
    }
  }

  /// The source file whose path ends in `name`.
  func path(of name: String) throws -> String {
    let base = String(name.split(separator: "/").last ?? "")
    let found = (byName[base] ?? []).filter { $0 == name || $0.hasSuffix("/" + name) }
    guard found.count == 1 else { throw MutantError.noFile(name, found) }
    return found[0]
  }

  func source(of path: String) throws -> [UInt8] {
    guard let source = sources[path] else { throw MutantError.noFile(path, []) }
    return Array(source)
  }

  /// Makes the copy's sources equal to the tree's but for `changed`, by path. Only what differs is written, so that builds stay
  /// incremental.
  func writeCopy(with changed: [String: [UInt8]]) throws {
    let wanted = Set(sources.keys).union(changed.keys)
    var modules: Set<String> = []
    for path in wanted.sorted() {
      let data = changed[path].map { Data($0) } ?? sources[path]!
      let target = copy.appending(path: path)
      let old = try? Data(contentsOf: target)
      if old == data { continue }
      try FileManager.default.createDirectory(
        at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
      let mode = try? FileManager.default.attributesOfItem(atPath: root.appending(path: path).path)
      try data.write(to: target)
      if let permissions = mode?[.posixPermissions] {
        try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: target.path)
      }
      let parts = path.split(separator: "/")
      if parts.first == "Sources", path.hasSuffix(".swift"), data.range(of: Data("@inlinable".utf8)) != nil,
        old != nil
      {
        modules.insert(String(parts[1]))
      }
    }
    for folder in ["Sources", "Tests"] {
      let left = FileManager.default.enumerator(atPath: copy.appending(path: folder).path)
      while let below = left?.nextObject() as? String {
        let path = folder + "/" + below
        var isFolder: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: copy.appending(path: path).path, isDirectory: &isFolder)
        if !isFolder.boolValue, !wanted.contains(path) {
          try FileManager.default.removeItem(at: copy.appending(path: path))
        }
      }
    }
    try touchImporters(of: modules)
  }

  /// Incremental builds do not see that the body of an inlinable function has changed in another module.
  private func touchImporters(of modules: Set<String>) throws {
    guard !modules.isEmpty else { return }
    for path in files
    where path.hasSuffix(".swift") && (path.hasPrefix("Sources/") || path.hasPrefix("Tests/")) {
      let target = copy.appending(path: path)
      guard let text = try? String(contentsOf: target, encoding: .utf8) else { continue }
      if modules.contains(where: { text.contains("import \($0)\n") }) {
        try FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: target.path)
      }
    }
  }
}
