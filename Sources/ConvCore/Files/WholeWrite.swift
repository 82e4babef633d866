#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// write(2) until all bytes are written: through signals, short writes, and descriptors that do not wait (`O_NONBLOCK`).
package enum WholeWrite {
  /// - Returns: the system's error code; nil where everything was written.
  package static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32? {
    var done = 0
    while done < bytes.count {
      let count = once(descriptor, bytes.baseAddress! + done, min(bytes.count - done, 1 << 30))
      if count > 0 {
        done += count
        continue
      }
      if count == 0 { return ENOSPC }
      switch errno {
      case EINTR: break
      case EAGAIN:
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&waiting, 1, -1) < 0 && errno != EINTR { return errno }
      default: return errno
      }
    }
    return nil
  }

  /// The UTF-8 bytes of a text.
  ///
  /// - Returns: as above.
  package static func write(_ text: String, to descriptor: Int32) -> Int32? {
    var text = text
    return text.withUTF8 { write(UnsafeRawBufferPointer($0), to: descriptor) }
  }

  private static func once(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Darwin)
      Darwin.write(descriptor, bytes, count)
    #elseif canImport(Musl)
      Musl.write(descriptor, bytes, count)
    #else
      Glibc.write(descriptor, bytes, count)
    #endif
  }
}

/// What is said besides results. That nobody can hear it is no error: a full device, a closed terminal, a closed descriptor.
package enum StandardError {
  /// Writes text as it is.
  package static func write(_ text: String) { _ = WholeWrite.write(text, to: STDERR_FILENO) }
}
