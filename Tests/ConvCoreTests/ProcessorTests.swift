import ConvTestSupport
import Foundation
import Synchronization
import Testing

@testable import ConvCore

/// Folders that look like a system with control groups.
private struct MadeUpSystem {
  var files: [String: String] = [:]

  /// The limits that are read there.
  var limits: ControlGroups {
    get throws {
      try withTemporaryFolder { root in
        for (path, text) in files {
          let url = URL(fileURLWithPath: root + path)
          try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
          try Data(text.utf8).write(to: url)
        }
        return ControlGroups(root: root)
      }
    }
  }

  /// Version 2, the process in `group`.
  static func unified(_ group: String, mounted root: String = "/", _ files: [String: String]) -> MadeUpSystem
  {
    var all = [
      "/proc/self/cgroup": "0::\(group)\n",
      "/proc/self/mountinfo": """
      22 1 8:1 / / rw - ext4 /dev/sda1 rw
      30 23 0:26 \(root) /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate

      """,
    ]
    for (path, text) in files { all["/sys/fs/cgroup" + path] = text }
    return MadeUpSystem(files: all)
  }

  /// Version 1, the process in `group` of both controllers.
  static func old(_ group: String, _ files: [String: String]) -> MadeUpSystem {
    var all = [
      "/proc/self/cgroup": "9:name=systemd:/init\n4:memory:\(group)\n1:cpu,cpuacct:\(group)\n0::/\n",
      "/proc/self/mountinfo": """
      32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw

      """,
    ]
    for (path, text) in files { all["/sys/fs/cgroup" + path] = text }
    return MadeUpSystem(files: all)
  }
}

@Suite struct ControlGroupTests {
  @Test func ownGroupOfVersionTwo() throws {
    let system = MadeUpSystem.unified(
      "/a.slice/b", ["/a.slice/b/cpu.max": "150000 100000\n", "/a.slice/b/memory.max": "1073741824\n"])
    #expect(try system.limits == ControlGroups(processorQuota: 1.5, memory: 1 << 30))
  }

  /// The least of all groups on the way up counts, whichever has it.
  @Test func groupsAbove() throws {
    let system = MadeUpSystem.unified(
      "/a/b/c",
      [
        "/cpu.max": "800000 100000\n", "/a/cpu.max": "30000 20000\n", "/a/b/cpu.max": "max 100000\n",
        "/a/b/c/cpu.max": "400000 100000\n", "/a/memory.max": "max\n", "/a/b/memory.max": "4096\n",
        "/a/b/c/memory.max": "8192\n", "/a/other/cpu.max": "1000 100000\n",
      ])
    #expect(try system.limits == ControlGroups(processorQuota: 1.5, memory: 4096))
  }

  @Test func noLimits() throws {
    let files = ["/a/cpu.max": "max 100000\n", "/a/memory.max": "max\n"]
    #expect(try MadeUpSystem.unified("/a", files).limits == ControlGroups())
    #expect(try MadeUpSystem.unified("/a", [:]).limits == ControlGroups())
    #expect(try MadeUpSystem().limits == ControlGroups())
    let garbled = ["/a/cpu.max": "much\n", "/a/memory.max": "-5\n"]
    #expect(try MadeUpSystem.unified("/a", garbled).limits == ControlGroups())
  }

  /// In a container the mount shows a part of the hierarchy, and the path may be that of the whole one, or lie outside.
  @Test(arguments: ["/docker/0a", "/", "/../../elsewhere"])
  func mountedParts(_ group: String) throws {
    let system = MadeUpSystem.unified(
      group, mounted: group == "/docker/0a" ? group : "/",
      ["/cpu.max": "200000 100000\n", "/memory.max": "65536\n"])
    #expect(try system.limits == ControlGroups(processorQuota: 2, memory: 65536))
  }

  @Test func versionOne() throws {
    let system = MadeUpSystem.old(
      "/job/7",
      [
        "/cpu,cpuacct/job/7/cpu.cfs_quota_us": "-1\n", "/cpu,cpuacct/job/7/cpu.cfs_period_us": "100000\n",
        "/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n", "/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        "/memory/job/7/memory.limit_in_bytes": "9223372036854771712\n",
        "/memory/memory.limit_in_bytes": "536870912\n",
        // Of other controllers' hierarchies nothing is read.
        "/memory/job/7/cpu.max": "1000 100000\n",
      ])
    #expect(try system.limits == ControlGroups(processorQuota: 2.5, memory: 512 << 20))
  }

  /// The files of this system, whatever they say, are read without an objection.
  @Test func thisProcess() throws {
    let own = ControlGroups.current
    #expect(own.processorQuota.map { $0 > 0 } ?? true)
    #expect(own.memory.map { $0 > 0 } ?? true)
  }
}

@Suite struct ProcessorTests {
  /// A quota that is no whole number grants fewer threads, and at least one.
  @Test func quotasAreRoundedDown() {
    func count(_ quota: Double?) -> Int { Processors(allowed: [0, 1, 2, 3], quota: quota).count }
    #expect(count(nil) == 4 && count(4) == 4 && count(100) == 4 && count(3.99) == 3)
    #expect(count(1.5) == 1 && count(1) == 1 && count(0.25) == 1)
  }

  @Test func descriptions() {
    #expect("\(Processors(allowed: [0]))" == "CPU 0")
    #expect("\(Processors(allowed: [0, 1, 2, 3, 8, 10, 11]))" == "CPUs 0-3,8,10-11")
    #expect("\(Processors(allowed: [0, 1], quota: 1.5))" == "CPUs 0-1, of which control groups grant 1.5")
    #expect("\(Processors(allowed: [4, 5], quota: 2))" == "CPUs 4-5")
  }

  @Test func moreThreadsThanProcessorsAreNoted() {
    let two = Processors(allowed: [0, 1])
    #expect(two.note(threads: 2) == nil)
    #expect(two.note(threads: 16)?.contains("16 threads on 2 processors (CPUs 0-1)") == true)
    #expect(Processors(allowed: [5]).note(threads: 2)?.contains("2 threads on 1 processor (CPU 5)") == true)
  }

  /// What `nproc` says.
  @Test func thisProcess() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["-u", "OMP_NUM_THREADS", "nproc"]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(text == "\(Processors.current.allowed.count)\n")
  }

  /// Threads that have no processor of their own sleep at once, also the one that waits for the others: it uses no time of a
  /// processor meanwhile.
  @Test(arguments: [1, 4])
  func waitingThreadsLeaveTheProcessor(_ processors: Int) {
    let pool = WorkerPool(threads: 2, processors: Processors(allowed: Array(0..<processors)))
    #expect(pool.polls == (processors > 1))
    let caller = pthread_self()
    let arrivals = Atomic<Int>(0)
    let calls = Atomic<Int>(0)
    func seconds() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let before = seconds()
    pool.parallelFor(2) { _ in
      arrivals.add(1, ordering: .sequentiallyConsistent)
      while arrivals.load(ordering: .sequentiallyConsistent) < 2 { usleep(1000) }
      if pthread_equal(caller, pthread_self()) == 0 { usleep(400_000) }
      calls.add(1, ordering: .sequentiallyConsistent)
    }
    #expect(calls.load(ordering: .sequentiallyConsistent) == 2)
    #expect(pool.polls || seconds() - before < 0.2, "\(seconds() - before) s of a processor")
  }

  /// Whatever sleeps wakes up.
  @Test func poolsWithTooManyThreadsDoAllWork() {
    let pool = WorkerPool(threads: 5, processors: Processors(allowed: [0]))
    let total = Atomic<Int>(0)
    for _ in 0..<5000 { pool.parallelFor(7) { total.add($0, ordering: .relaxed) } }
    #expect(total.load(ordering: .relaxed) == 5000 * 21)
  }
}

@Suite struct MemoryAllowanceTests {
  @Test func theLeastLimitCounts() {
    #expect(MemoryAllowance(physical: 1 << 34).bytes == 1 << 34)
    let limited = MemoryAllowance(
      physical: 1 << 34, addresses: 1 << 33, data: 1 << 32, controlGroups: 1 << 31)
    #expect(limited.bytes == 1 << 31 && limited.source == .controlGroups)
    #expect("\(limited)".contains("control group"))
    let addresses = MemoryAllowance(physical: 1 << 34, addresses: 1 << 30, controlGroups: 1 << 31)
    #expect(addresses.bytes == 1 << 30 && "\(addresses)".contains("ulimit -v"))
    #expect(addresses.probeBytes == 1 << 26)
    #expect(MemoryAllowance(physical: nil).bytes == .max)
  }

  @Test func probesTakeTheirShareOnly() throws {
    let allowance = MemoryAllowance(physical: 1600)
    try allowance.requireShare(4, of: 25)
    #expect(throws: MemoryError.exceedsProbeShare(byteCount: 104, allowance: allowance)) {
      try allowance.requireShare(4, of: 26)
    }
    #expect(throws: MemoryError.self) { try allowance.requireShare(2, of: .max) }
  }

  /// What is granted beyond the limit of a group is taken back with the process.
  @Test func poolsGiveOutNoMoreThanTheAllowance() throws {
    let allowance = MemoryAllowance(physical: nil, controlGroups: 10 << 20)
    let pool = BufferPool(cacheLimit: 8 << 20, allowance: allowance)
    let first = try PooledBuffer(byteCount: 6 << 20, pool: pool)
    #expect(
      throws: MemoryError.exceedsAllowance(byteCount: 5 << 20, used: 6 << 20, allowance: allowance)
    ) { try PooledBuffer(byteCount: 5 << 20, pool: pool) }
    let second = try PooledBuffer(byteCount: 4 << 20, pool: pool)
    #expect(pool.usedBytes == first.byteCount + second.byteCount)
  }

  /// Blocks that are kept make room.
  @Test func keptBlocksCountToo() throws {
    let pool = BufferPool(cacheLimit: 8 << 20, allowance: MemoryAllowance(physical: 10 << 20))
    _ = try PooledBuffer(byteCount: 6 << 20, pool: pool)
    #expect(pool.cachedBytes == 6 << 20)
    let buffer = try PooledBuffer(byteCount: 7 << 20, pool: pool)
    #expect(pool.cachedBytes == 0 && pool.usedBytes == buffer.byteCount)
  }

  @Test func arraysAreAskedForFirst() throws {
    let allowance = MemoryAllowance(physical: 1 << 30)
    try allowance.require(byteCount: 0)
    try allowance.require(byteCount: 1 << 20)
    #expect(throws: MemoryError.invalidSize(byteCount: -1)) { try allowance.require(byteCount: -1) }
    #expect(throws: MemoryError.self) { try allowance.require(byteCount: (1 << 30) + 1) }
  }
}
