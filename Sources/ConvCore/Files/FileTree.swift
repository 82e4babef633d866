#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The files below a folder.
public enum FileTree {
  /// Paths, relative to `root`, of the files below it whose names end so, sorted. Links to folders are not followed.
  ///
  /// - Throws: `FileError.missingInput` where a folder cannot be read, or a name that could count is not UTF-8 text.
  public static func files(below root: String, suffix: String) throws -> [String] {
    var found: [String] = []
    var folders = [""]
    while let folder = folders.popLast() {
      let path = folder.isEmpty ? root : root + "/" + folder
      guard let stream = opendir(path) else {
        throw FileError.missingInput(path: path, reason: FileError.systemReason())
      }
      defer { closedir(stream) }
      while let name = nextName(of: stream) {
        let bytes = name.dropLast().map(UInt8.init(bitPattern:))
        if bytes == [0x2E] || bytes == [0x2E, 0x2E] { continue }
        var status = stat()
        guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        guard isFolder || bytes.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) else { continue }
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw FileError.missingInput(
            path: path, reason: "a name in it is not UTF-8 text: \(QuotedText.bytes(bytes))")
        }
        let relative = folder.isEmpty ? text : folder + "/" + text
        if isFolder { folders.append(relative) } else { found.append(relative) }
      }
    }
    return found.sorted()
  }

  /// The next name in an open folder, with a zero at its end; nil after the last one.
  static func nextName(of stream: OpaquePointer) -> [CChar]? {
    guard let entry = readdir(stream) else { return nil }
    let offset = MemoryLayout<dirent>.offset(of: \dirent.d_name)!
    let start = (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self)
    return Array(UnsafeBufferPointer(start: start, count: strlen(start) + 1))
  }
}
