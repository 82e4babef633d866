import ConvCore
import Foundation
import Synchronization
import Testing

@testable import ConvHarness

/// What a system's files say about the caches of a machine.
struct CacheFiles: Sendable, CustomTestStringConvertible {
  var testDescription: String
  /// Level, type, size and processors of each folder.
  var folders: [(String, String, String, String)]

  var sizes: CacheSizes {
    CacheSizes { index, name in
      guard folders.indices.contains(index) else { return nil }
      let (level, type, size, processors) = folders[index]
      return ["level": level, "type": type, "size": size, "shared_cpu_list": processors][name].map {
        $0 + "\n"
      }
    }
  }

  /// Two processors of an EPYC with AVX-512 under KVM.
  static let zen5 = CacheFiles(
    testDescription: "Zen 5, 2 processors",
    folders: [
      ("1", "Data", "48K", "0"), ("1", "Instruction", "32K", "0"), ("2", "Unified", "1024K", "0"),
      ("3", "Unified", "32768K", "0-1"),
    ])
  /// Eight cores of an EPYC with AVX2, two threads each.
  static let zen3 = CacheFiles(
    testDescription: "Zen 3, 16 processors",
    folders: [
      ("1", "Data", "32K", "0,8"), ("1", "Instruction", "32K", "0,8"), ("2", "Unified", "512K", "0,8"),
      ("3", "Unified", "32768K", "0-15"),
    ])
  /// A Xeon Gold 6542Y, family 6, model 207, one of two sockets.
  static let emeraldRapids = CacheFiles(
    testDescription: "Emerald Rapids, 2 × 48 processors",
    folders: [
      ("1", "Data", "48K", "0,48"), ("1", "Instruction", "32K", "0,48"), ("2", "Unified", "2048K", "0,48"),
      ("3", "Unified", "61440K", "0-23,48-71"),
    ])
}

@Suite struct CacheSizeTests {
  @Test func filesOfThreeMachines() {
    func levels(_ files: CacheFiles) -> [[Int]] {
      files.sizes.levels.map { [$0.level, $0.bytes, $0.processors] }
    }
    #expect(levels(.zen5) == [[1, 48 << 10, 1], [2, 1 << 20, 1], [3, 32 << 20, 2]])
    #expect(levels(.zen3) == [[1, 32 << 10, 2], [2, 512 << 10, 2], [3, 32 << 20, 16]])
    #expect(levels(.emeraldRapids) == [[1, 48 << 10, 2], [2, 2 << 20, 2], [3, 60 << 20, 48]])
  }

  @Test func whatIsNotThereIsLeftOut() {
    #expect(CacheSizes { _, _ in nil }.levels.isEmpty)
    // A folder without a size, one with a size of nothing, one without processors; the order is that of the
    // levels.
    let odd = CacheSizes { index, name in
      let folders: [[String: String]] = [
        ["level": "3", "size": "8M", "type": "Unified", "shared_cpu_list": "x"],
        ["level": "1", "type": "Data"], ["level": "2", "size": "0K"], ["level": "2", "size": "256K"],
      ]
      return folders.indices.contains(index) ? folders[index][name] : nil
    }
    #expect(odd.levels.map(\.bytes) == [256 << 10, 8 << 20] && odd.levels.map(\.processors) == [1, 1])
    #expect(CacheSizes.lastLevel > 0)
  }

  @Test func listsOfProcessors() {
    let lists = ["0": 1, "0-1": 2, "0-7,64-71": 16, "3,5,9": 3, "10-10": 1]
    for (text, count) in lists { #expect(CacheSizes.processors(text) == count, "\(text)") }
    for text in ["", "a", "3-", "-3", "1-2-3", "2-1", "1,,2"] {
      #expect(CacheSizes.processors(text) == nil, "'\(text)'")
    }
  }
}

@Suite struct BandwidthProbeTests {
  private func footprints(_ files: CacheFiles, threads: Int, memory: Int = 64 << 30) -> [String: Int] {
    let list = BandwidthProbe.footprints(
      of: files.sizes, threads: threads, allowance: MemoryAllowance(physical: UInt64(memory)))
    return Dictionary(uniqueKeysWithValues: list.map { ($0.level, $0.bytesPerThread) })
  }

  @Test func footprintsOfKnownMachines() {
    let (kib, mib) = (1 << 10, 1 << 20)
    #expect(
      footprints(.zen5, threads: 2)
        == ["L1": 24 * kib, "L2": 512 * kib, "L3": 4 * mib, "memory": 64 * mib])
    #expect(
      footprints(.zen5, threads: 1)
        == ["L1": 24 * kib, "L2": 512 * kib, "L3": 4 * mib, "memory": 128 * mib])
    #expect(
      footprints(.zen3, threads: 16) == ["L1": 8 * kib, "L2": 128 * kib, "L3": mib, "memory": 8 * mib])
    #expect(
      footprints(.emeraldRapids, threads: 2)
        == ["L1": 12 * kib, "L2": 512 * kib, "L3": 8 * mib, "memory": 120 * mib])
    // A share of the last cache that the one below holds too does not tell the two apart.
    #expect(
      footprints(.emeraldRapids, threads: 96) == ["L1": 12 * kib, "L2": 512 * kib, "memory": 5 * mib])
    // A sixteenth of the memory; none where that is not beyond the caches.
    #expect(footprints(.zen5, threads: 2, memory: 1536 * mib)["memory"] == 48 * mib)
    #expect(footprints(.zen5, threads: 2, memory: 800 * mib)["memory"] == nil)
    // Nor of a cache that does not fit in it.
    #expect(footprints(.zen5, threads: 2, memory: 64 * mib) == ["L1": 24 * kib, "L2": 512 * kib])
    let unknown = CacheSizes(levels: [])
    #expect(
      BandwidthProbe.footprints(
        of: unknown, threads: 2, allowance: MemoryAllowance(physical: 8 << 30))
        == [BandwidthProbe.Footprint(level: "memory", bytesPerThread: 64 * mib)])
  }

  @Test(arguments: [CacheFiles.zen5, .zen3, .emeraldRapids], [1, 2, 7, 16, 48, 96])
  private func footprintsFitAndExceedWhatIsBelow(_ files: CacheFiles, _ threads: Int) {
    let caches = files.sizes.levels
    let found = footprints(files, threads: threads)
    #expect(found["L1"] != nil && found["memory"] != nil, "\(found)")
    for (index, cache) in caches.enumerated() {
      // Levels that a thread's share does not tell apart are left out.
      guard let bytes = found["L\(cache.level)"] else { continue }
      #expect(bytes * min(threads, cache.processors) <= cache.bytes / 2, "L\(cache.level)")
      if index > 0 { #expect(bytes > caches[index - 1].bytes, "L\(cache.level)") }
    }
    let last = caches[caches.count - 1]
    if let bytes = found["memory"] { #expect(bytes * min(threads, last.processors) >= 2 * last.bytes) }
  }

  @Test(arguments: [4096, 5000, 24 << 10, 512 << 10, 4 << 20, 10_000_000, 64 << 20])
  func blocksCoverTheFootprintAndNoMore(_ bytes: Int) {
    for pass in BandwidthProbe.Pass.allCases {
      let blocks = BandwidthProbe.Blocks(pass, bytesPerThread: bytes)
      let arrays = pass == .triad ? 3 : 1
      #expect(blocks.stride * arrays * 4 <= bytes && blocks.parts * blocks.count <= blocks.stride)
      // All but what a page or the parts leave over.
      #expect(blocks.stride * arrays * 4 > bytes - arrays * 4096)
      #expect(blocks.stride - blocks.parts * blocks.count < blocks.parts)
      let work = blocks.count * blocks.passes * pass.bytesPerElement
      #expect(work > BandwidthProbe.Blocks.bytes / 2 && work < 2 * BandwidthProbe.Blocks.bytes)
    }
  }

  @Test func everyLevelHasThreeFigures() throws {
    let levels = try BandwidthProbe.measure(pool: WorkerPool(threads: 2))
    #expect(levels.map(\.level) == BandwidthProbe.footprints(threads: 2).map(\.level))
    for level in levels {
      for (name, path) in CacheBandwidth.figures {
        // In GB/s: no processor moves a byte per second, or 10¹⁸ of them.
        #expect((1e-6...1e9).contains(level[keyPath: path]), "\(level.level) \(name)")
      }
    }
  }
}

@Suite struct PoolRateTests {
  @Test(arguments: [1, 2, 3]) func threadsGoThroughThePhasesTogether(_ threads: Int) {
    let pool = WorkerPool(threads: threads)
    let events = Mutex<[(phase: Int, thread: Int, index: Int)]>([])
    let prepared = Mutex<[Int]>([])
    func phase(_ number: Int, units: Double) -> PoolRates.Phase {
      PoolRates.Phase(warmUpSeconds: 0, warmUpBlocks: 3, seconds: 1e-4, unitsPerBlock: units) {
        thread, index in
        // The last thread takes its time to get warm.
        if thread == threads - 1 && index < 3 { Thread.sleep(forTimeInterval: 1e-3) }
        events.withLock { $0.append((number, thread, index)) }
      }
    }
    let rates = PoolRates.measure([phase(0, units: 1), phase(1, units: 0)], pool: pool) { thread in
      prepared.withLock { $0.append(thread) }
      #expect(events.withLock { $0.isEmpty })
    }
    #expect(rates.count == 2 && rates[0] > 0 && rates[0].isFinite && rates[1] == 0)
    #expect(prepared.withLock { $0.sorted() } == Array(0..<threads))
    for phase in 0...1 {
      for thread in 0..<threads {
        let indices = events.withLock { $0.filter { $0.phase == phase && $0.thread == thread }.map(\.index) }
        // Three for warmth, at least one that counts.
        #expect(indices == Array(0..<max(4, indices.count)), "phase \(phase), thread \(thread)")
      }
      // Nobody's fourth block comes before everybody's third.
      let order = events.withLock { $0.filter { $0.phase == phase } }
      let first = order.firstIndex { $0.index == 3 } ?? 0
      #expect(order.prefix(first).count { $0.index == 2 } == threads)
    }
  }

  /// A pool at work runs the threads' parts one after the other: nothing together, no figure.
  @Test func aPoolAtWorkGivesNoFigure() {
    let pool = WorkerPool(threads: 2)
    let phase = PoolRates.Phase(seconds: 1e-4, unitsPerBlock: 1) { _, _ in }
    let rates = Mutex<[Double]>([])
    pool.parallelFor(2) { index in
      if index == 0 {
        let inner = PoolRates.measure([phase, phase], pool: pool, patience: 0.01)
        rates.withLock { $0 = inner }
      }
    }
    #expect(rates.withLock { $0.count == 2 && $0.allSatisfy(\.isNaN) })
  }

  @Test func probesGiveFigures() throws {
    let pool = WorkerPool(threads: 2)
    let (peak, kernel) = (PeakProbe(pool: pool), try MatrixKernelProbe(pool: pool))
    for figure in [peak.gflops(seconds: 1e-3), kernel.gflops(seconds: 1e-3)] {
      #expect(figure.isFinite && figure > 0)
    }
  }
}

@Suite struct MachineLimitTests {
  private let limits = MachineLimits(
    threads: 2, fmaPeak: 200, bandwidth: 30,
    levels: [
      CacheBandwidth(level: "L1", bytesPerThread: 24 << 10, read: 600, write: 300.5, triad: 400),
      CacheBandwidth(level: "memory", bytesPerThread: 64 << 20, read: .nan, write: 20, triad: 30),
    ], matrixKernel: 150, matrixKernelShare: 0.8)

  private func report(_ limits: [MachineLimits]) -> RunReport {
    var report = RunReport(
      environment: [("CPU", "one")], command: "vbench run", date: "2000-01-01T00:00:00Z", peak: 200)
    report.limits = limits
    return report
  }

  private func read(_ json: String) throws -> RunReport {
    let whole = report([])
    return try RunReport(
      RunFiles(
        folder: "x", results: ResultRow.csv([]), samples: nil, training: TrainingRow.csv(whole.training),
        run: json, layers: nil, trajectory: nil))
  }

  @Test func limitsAreReadAsTheyAreWritten() throws {
    let found = try read(report([limits]).json).limits
    #expect(found.count == 1 && found[0].threads == 2 && found[0].fmaPeak == 200 && found[0].bandwidth == 30)
    #expect(found[0].matrixKernel == 150 && found[0].matrixKernelShare == 0.8)
    #expect(found[0].levels.map(\.level) == ["L1", "memory"] && found[0].levels[0] == limits.levels[0])
    let memory = found[0].levels[1]
    #expect(
      memory.read.isNaN && memory.write == 20 && memory.triad == 30 && memory.bytesPerThread == 64 << 20)
  }

  @Test func olderFilesHaveNeitherLevelsNorAKernel() throws {
    let old = report([MachineLimits(threads: 2, fmaPeak: 180, bandwidth: 25)])
    let json = old.json
    #expect(json.contains("{\"threads\": 2, \"fma_peak_gflops\": 180, \"bandwidth_gb_per_s\": 25}"))
    let found = try read(json)
    #expect(found.limits.count == 1 && found.limits[0].levels.isEmpty && found.limits[0].matrixKernel.isNaN)
    // Their peak was that of the matrix kernel, and reports that are made again say so.
    #expect(found.markdown.contains("| FMA peak | 200 GFLOP/s (own matrix kernel"))
    #expect(!found.markdown.contains("| own matrix kernel |") && !found.markdown.contains("| L1 |"))
    for wrong in [
      "\"matrix_kernel_gflops\": \"much\"", "\"levels\": 3", "\"levels\": [{\"level\": \"L1\"}]",
      "\"levels\": [{\"level\": \"L1\", \"bytes_per_thread\": 1, \"read_gb_per_s\": \"x\"}]",
    ] {
      let text = json.replacing("\"bandwidth_gb_per_s\": 25", with: "\"bandwidth_gb_per_s\": 25, \(wrong)")
      #expect(throws: HarnessError.self, "\(wrong)") { try read(text) }
    }
  }

  @Test func reportsShowLevelsAndTheKernelsShare() {
    let report = report([limits])
    for words in [
      "| FMA peak | 200 GFLOP/s (chains of multiply-adds",
      "| own matrix kernel | 150 GFLOP/s, 80.0 % of the FMA peak", "| GB/s of 2 threads | bytes in each |",
      "| L1 | 24 KiB | 600 | 300 | 400 |", "| memory | 64 MiB |  | 20.0 | 30.0 |",
    ] { #expect(report.markdown.contains(words), "'\(words)' is missing in\n\(report.markdown)") }
    let page = report.html
    for words in [
      "<dt>own matrix kernel</dt><dd>150 GFLOP/s, 80.0 % of the FMA peak",
      "<dt>bandwidth, L1</dt><dd>read 600, write 300, triad 400 GB/s (24 KiB a thread)</dd>",
      "<dt>bandwidth, memory</dt><dd>write 20.0, triad 30.0 GB/s (64 MiB a thread)</dd>",
    ] { #expect(page.contains(words), "'\(words)' is missing") }
  }

  @Test func rooflinesNeedBothLimits() {
    #expect(limits.roofline(intensity: 2) == 60 && limits.roofline(intensity: 1000) == 200)
    var unknown = limits
    unknown.bandwidth = .nan
    #expect(unknown.roofline(intensity: 2).isNaN)
    (unknown.bandwidth, unknown.fmaPeak) = (30, .nan)
    #expect(unknown.roofline(intensity: 2).isNaN)
  }
}
