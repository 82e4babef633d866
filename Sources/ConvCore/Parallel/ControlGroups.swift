import Foundation

/// What Linux's control groups allow this process: the least over its own groups and all groups above them.
///
/// Version 2 states `cpu.max` ("quota period" or "max period") and `memory.max`, version 1 `cpu.cfs_quota_us`, `cpu.cfs_period_us`
/// and `memory.limit_in_bytes`. What cannot be read sets no limit. The processors of a `cpuset` are seen in the affinity already.
public struct ControlGroups: Sendable, Hashable {
  /// Seconds of processors per second, quota / period; nil where there is no quota.
  public var processorQuota: Double?
  /// Bytes; nil where there is no limit.
  public var memory: UInt64?

  /// Known limits.
  public init(processorQuota: Double? = nil, memory: UInt64? = nil) {
    self.processorQuota = processorQuota
    self.memory = memory
  }

  /// Those of this process, as they were when they were first asked for.
  public static let current = ControlGroups(root: "/")

  /// What the files under `root` say: `proc/self/cgroup`, `proc/self/mountinfo`, and the groups' own where those lie.
  public init(root: String) {
    func text(_ path: String) -> String? {
      (try? Data(contentsOf: URL(fileURLWithPath: root + path))).map { String(decoding: $0, as: UTF8.self) }
    }
    self.init()
    guard let groups = text("/proc/self/cgroup"), let mounts = text("/proc/self/mountinfo") else { return }
    let mounted = mounts.split(separator: "\n").compactMap { Mount(line: $0) }
    for line in groups.split(separator: "\n") {
      // hierarchy:controllers:path
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
      guard fields.count == 3 else { continue }
      let controllers = Set(fields[1].split(separator: ",").map(String.init))
      for mount in mounted {
        // Version 2 has one hierarchy, without names here; of version 1 each mount names its controllers.
        let isUnified = fields[1].isEmpty
        guard isUnified ? mount.isUnified : !mount.options.isDisjoint(with: controllers) else { continue }
        for folder in mount.folders(from: fields[2]) {
          func words(_ name: String) -> [Substring] {
            text("\(folder)/\(name)")?.split(whereSeparator: \.isWhitespace) ?? []
          }
          if isUnified {
            limitProcessors(words("cpu.max").first, per: words("cpu.max").last)
            limitMemory(words("memory.max").first)
          }
          if controllers.contains("cpu") {
            limitProcessors(words("cpu.cfs_quota_us").first, per: words("cpu.cfs_period_us").first)
          }
          if controllers.contains("memory") { limitMemory(words("memory.limit_in_bytes").first) }
        }
      }
    }
  }

  /// "max", and -1 in version 1, are no quotas.
  private mutating func limitProcessors(_ quota: Substring?, per period: Substring?) {
    guard let quota = quota.flatMap({ Double($0) }), let period = period.flatMap({ Double($0) }), quota > 0,
      period > 0
    else { return }
    processorQuota = min(processorQuota ?? .infinity, quota / period)
  }

  /// "max", and more than 2⁶² bytes in version 1, are no limits.
  private mutating func limitMemory(_ bytes: Substring?) {
    guard let bytes = bytes.flatMap({ UInt64($0) }), bytes < 1 << 62 else { return }
    memory = min(memory ?? .max, bytes)
  }

  /// A mounted hierarchy of groups.
  private struct Mount {
    /// The group that lies at `point`.
    var group: String
    /// Where it is mounted.
    var point: String
    /// Whether this is version 2.
    var isUnified: Bool
    /// Among them, in version 1, the names of its controllers.
    var options: Set<String>

    /// Reads a line of `mountinfo`: "36 35 0:29 group point options … - type source options"; nil for other file systems.
    init?(line: Substring) {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, dash + 3 < fields.count,
        ["cgroup", "cgroup2"].contains(fields[dash + 1])
      else { return nil }
      group = Mount.unescaped(fields[3])
      point = Mount.unescaped(fields[4])
      isUnified = fields[dash + 1] == "cgroup2"
      options = Set(fields[dash + 3].split(separator: ",").map(String.init))
    }

    /// Blanks, tabs, line ends and backslashes of a path stand there as \040, \011, \012 and \134.
    private static func unescaped(_ text: Substring) -> String {
      let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
      return codes.reduce(String(text)) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
    }

    /// The folder of the group `path` and those of all groups above it that are mounted.
    ///
    /// A path outside the mounted part (as seen from another name space) leaves the mount's own folder.
    func folders(from path: String) -> [String] {
      let root = group == "/" ? "" : group
      var inner: [Substring] = []
      if path == root || path.hasPrefix(root + "/") {
        inner = path.dropFirst(root.count).split(separator: "/")
        if inner.contains("..") { inner = [] }
      }
      return (0...inner.count).map { ([point] + inner.prefix($0).map(String.init)).joined(separator: "/") }
    }
  }
}
