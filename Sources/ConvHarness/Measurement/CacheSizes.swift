import Foundation

/// The caches of the first processor as the system states them.
public struct CacheSizes: Sendable, Hashable {
  /// A cache that holds data.
  public struct Level: Sendable, Hashable {
    /// 1 is the nearest.
    public var level: Int
    /// What it holds.
    public var bytes: Int
    /// Processors that share it, at least 1.
    public var processors: Int
  }

  /// Caches of data, or of data and instructions, the nearest first; empty where the system does not say.
  public var levels: [Level]

  /// Those of this machine, out of `/sys/devices/system/cpu/cpu0/cache`.
  public static let current = CacheSizes { index, name in
    try? String(contentsOfFile: "/sys/devices/system/cpu/cpu0/cache/index\(index)/\(name)", encoding: .utf8)
  }

  /// Bytes of the largest cache of the first processor; 32 MiB where the system does not say.
  public static let lastLevel = current.levels.map(\.bytes).max() ?? standardLastLevel

  /// What stands for the last level where the system does not say.
  static let standardLastLevel = 32 << 20

  /// Bytes of the first processor's largest cache of the first two levels; 1 MiB where the system does not say.
  public var ownedByProcessor: Int { levels.filter { $0.level <= 2 }.map(\.bytes).max() ?? 1 << 20 }

  /// Known caches.
  public init(levels: [Level]) { self.levels = levels }

  /// What the files `level`, `type`, `size` and `shared_cpu_list` of each cache's folder say.
  ///
  /// - Parameter text: the text of a file in the folder with that index, nil where there is none.
  init(reading text: (_ index: Int, _ name: String) -> String?) {
    levels = (0..<16).compactMap { index in
      func word(_ name: String) -> String? {
        text(index, name)?.trimmingCharacters(in: .whitespacesAndNewlines)
      }
      guard let level = word("level").flatMap({ Int($0) }), word("type") != "Instruction",
        let bytes = word("size").flatMap(CacheSizes.bytes), bytes > 0
      else { return nil }
      let processors = word("shared_cpu_list").flatMap(CacheSizes.processors) ?? 1
      return Level(level: level, bytes: bytes, processors: processors)
    }
    .sorted { $0.level < $1.level }
  }

  /// `32768K` in bytes.
  static func bytes(_ text: String) -> Int? {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    guard let last = text.last, let unit = units[last] else { return Int(text) }
    return Int(text.dropLast()).map { $0 * unit }
  }

  /// How many processors a list such as `0-7,64-71` names; nil for anything else.
  static func processors(_ list: String) -> Int? {
    var count = 0
    for part in list.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first <= last else {
        return nil
      }
      count += last - first + 1
    }
    return count
  }
}
