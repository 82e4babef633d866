#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file or folder that one process writes, and no other at the same time.
///
/// It ends with the process, however that ends; `AtomicFile.claim` and `AtomicFolder.claim` make it.
public final class OutputClaim {
  /// The path that was claimed.
  public let path: String
  private var descriptor: Int32 = -1
  /// The lock file and its folder.
  private var lock: (place: FilePlace, name: String)?
  /// Folders that were made for it, innermost first.
  private var made: [String] = []

  private static let taken = "another process is writing it: wait for its end, or write to another place"

  /// Of a device or a pipe: everybody's.
  init(path: String) { self.path = path }

  /// Of a file, by a lock file beside it.
  ///
  /// - Throws: `FileError.cannotCreate`.
  init(path: String, file place: FilePlace) throws {
    self.path = path
    let name = TemporaryEntry.lock(on: place.shownName)
    var attempts = 0
    while descriptor < 0 {
      let opened = openat(place.folder, name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
      guard opened >= 0 else {
        if errno == EINTR { continue }
        throw FileError.cannotCreate(path: path, reason: FileError.systemReason())
      }
      var (own, named) = (stat(), stat())
      if TemporaryEntry.hold(opened), fstat(opened, &own) == 0,
        fstatat(place.folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0, own.st_ino == named.st_ino
      {
        descriptor = opened
        break
      }
      close(opened)
      attempts += 1
      // Who removes what is left over holds a lock for microseconds.
      if attempts == 10 { throw FileError.cannotCreate(path: path, reason: Self.taken) }
      usleep(10_000)
    }
    lock = (place, name)
    TemporaryEntry.begin(name, in: place.folder)
  }

  /// Of a folder that is there, by a lock on itself.
  ///
  /// - Parameter made: the folders that were made for it, which go again when the claim ends where nothing came into them.
  /// - Returns: nil where the folder has gone since.
  /// - Throws: `FileError.cannotCreate`.
  init?(path: String, folder: String, made: [String]) throws {
    self.path = path
    descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw FileError.cannotCreate(path: path, reason: FileError.systemReason())
    }
    guard TemporaryEntry.hold(descriptor) else {
      var status = stat()
      if fstat(descriptor, &status) == 0 && status.st_nlink == 0 { return nil }
      throw FileError.cannotCreate(path: path, reason: Self.taken)
    }
    self.made = made
  }

  /// Lets others write; folders that were made for the claim and are empty go.
  public func end() {
    for folder in made where rmdir(folder) != 0 { break }
    made = []
    if let lock {
      unlinkat(lock.place.folder, lock.name, 0)
      TemporaryEntry.end(lock.name, in: lock.place.folder)
    }
    lock = nil
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }

  deinit { end() }

  /// Descriptor of the folder.
  var folder: Int32 { descriptor }
}
