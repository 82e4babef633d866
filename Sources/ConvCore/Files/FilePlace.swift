#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Where a file is, or is to be: an open folder and a name in it. Names are bytes, so that links may lead anywhere.
final class FilePlace {
  /// Descriptor of the folder, for the calls that take one; it need not be readable.
  let folder: Int32
  /// The name in it, with a zero at its end.
  let name: [CChar]

  /// The place that a path means; a link at its end is followed.
  ///
  /// - Throws: `FileError.cannotCreate` where the folder is not there, or the path has no name at its end.
  init(_ path: String) throws {
    try Self.requirePossible(path)
    let target = Self.resolvingLink(path)
    let slash = target.lastIndex(of: CChar(UInt8(ascii: "/")))
    name = Array(target[(slash.map { $0 + 1 } ?? 0)...])
    guard name.count > 1 else { throw FileError.cannotCreate(path: path, reason: "it has no file name") }
    let parent: [CChar] =
      switch slash {
      case nil: [CChar(UInt8(ascii: ".")), 0]
      case 0?: [CChar(UInt8(ascii: "/")), 0]
      case let slash?: target[..<slash] + [0]
      }
    #if os(Linux)
      // O_PATH, which is not declared everywhere: a folder that may be written but not listed will do.
      folder = open(parent, 0o10_000_000 | O_DIRECTORY | O_CLOEXEC)
    #else
      folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    #endif
    guard folder >= 0 else { throw FileError.cannotCreate(path: path, reason: FileError.systemReason()) }
  }

  deinit { if folder >= 0 { close(folder) } }

  /// The name as text, whatever its bytes.
  var shownName: String { String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self) }

  /// What the system would take for another path: it reads up to the first zero.
  ///
  /// - Throws: `FileError.cannotCreate`.
  static func requirePossible(_ path: String) throws {
    if path.isEmpty { throw FileError.cannotCreate(path: path, reason: "it has no file name") }
    if path.utf8.contains(0) {
      throw FileError.cannotCreate(path: path, reason: "its name holds a zero byte")
    }
  }

  private static func resolvingLink(_ path: String) -> [CChar] {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK,
      let resolved = realpath(path, nil)
    else { return path.utf8.map { CChar(bitPattern: $0) } + [0] }
    defer { free(resolved) }
    return Array(UnsafeBufferPointer(start: resolved, count: strlen(resolved) + 1))
  }
}
