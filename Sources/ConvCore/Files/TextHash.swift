/// Short names of texts, by which files that say the same are known: no protection against anybody who wants two to agree.
public enum TextHash {
  /// Sixteen hexadecimal digits: FNV-1a of 64 bits over the UTF-8 bytes (G. Fowler, L. C. Noll, K.-P. Vo).
  public static func digits(of text: String) -> String {
    let value = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
