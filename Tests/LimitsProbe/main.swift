import ConvCore
import ConvHarness
import Foundation

// The probes of the machine's limits, a sample per request: `limits-probe [THREADS]` prints the instruction
// set, the threads and the footprint of each level, as in `avx512 2 L1=24576 …`, and answers each line `fma 0
// SECONDS` of its input with GFLOP/s, each line `read`, `write` or `triad BYTES SECONDS` with GB/s on arrays of
// so many bytes in each thread, and `limits` with all that a run measures.

/// A line of the answer, at once.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
func fail(_ text: String) -> Never {
  FileHandle.standardError.write(Data("limits-probe: \(text)\n".utf8))
  exit(64)
}

let threads = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : WorkerPool.shared.threads
guard threads > 0 else { fail("\(CommandLine.arguments[1]) threads?") }
if let error = InstructionSet.environmentError { fail("\(error)") }
let pool = WorkerPool.pool(threads: threads)
let footprints = BandwidthProbe.footprints(threads: threads)
say(
  ([InstructionSet.current.rawValue, "\(threads)"] + footprints.map { "\($0.level)=\($0.bytesPerThread)" })
    .joined(separator: " "))
let peak = PeakProbe(pool: pool)
while let line = readLine() {
  let words = line.split(separator: " ").map(String.init)
  if words == ["limits"] {
    let start = ContinuousClock.now
    let limits = try MachineLimits.measure(pool: pool)
    let levels = limits.levels.map { "\($0.level) \($0.read) \($0.write) \($0.triad)" }
    say(
      "peak \(limits.fmaPeak) kernel \(limits.matrixKernel) share \(limits.matrixKernelShare)"
        + " \(levels.joined(separator: ", ")) in \((ContinuousClock.now - start).seconds) s")
    continue
  }
  guard words.count == 3, let bytes = Int(words[1]), let seconds = Double(words[2]), bytes >= 0, seconds > 0
  else { fail("'\(line)'?") }
  if words[0] == "fma" {
    say("\(peak.gflops(seconds: seconds))")
  } else if let pass = BandwidthProbe.Pass(rawValue: words[0]) {
    // Each time in memory of its own: which pages one gets is part of the chance. Huge ones, as in a run, where
    // all levels share the block of the largest.
    let probe = try BandwidthProbe(pool: pool, bytesPerThread: max(bytes, 2 << 20))
    say("\(probe.rate(pass, bytesPerThread: bytes, seconds: seconds))")
  } else {
    fail("'\(line)'?")
  }
  // Whose turn is next shall not share a processor with threads that poll.
  pool.rest()
}
