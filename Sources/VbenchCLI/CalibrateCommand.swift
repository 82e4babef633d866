import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `vbench calibrate`: what work costs on this machine.
struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Measures what each kind of work costs on this machine: the profile that auto chooses by.",
    discussion: """
      Small layers of all kinds are run by every candidate of auto, on one thread in warm caches, for at most ten seconds; the prices
      that explain the times best are kept in $XDG_CACHE_HOME/vbench/profiles (else ~/.cache/vbench/profiles), one file per CPU,
      stepping, instruction set and OpenBLAS core. From then on auto chooses by them. Other commands do the same by themselves on a
      CPU that they know nothing of. Deleting the file brings back the table of this build, where it has one.

      EXAMPLES
        vbench calibrate
        vbench calibrate -o profile.json      kept in a file, for --profile
        vbench calibrate --from out           prices by the layers of a stored run
        VBENCH_ISA=avx2 vbench calibrate
      """)

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "File of the profile; if left out it is kept for this machine.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Folders of stored runs of this machine on one thread, whose rows are used instead of measuring; measures if left out; repeatable.",
      valueName: "dir"), completion: .directory)
  var from: [String] = []

  @Flag(
    help: "Prints every price beside that of the nearest table, and the operations that are predicted worst.")
  var verbose = false

  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    if BuildConfiguration.isDebug && from.isEmpty {
      throw UsageError("a debug build refuses to time: calibrate needs a release build")
    }
    Interruption.catchSignals()
    let claim = try output.map(AtomicFile.claim)
    defer { claim?.end() }
    try openBLAS.apply()
    let machine = MachineProfile.Machine.current
    let result = try from.isEmpty ? CalibrateCommand.measure(machine) : read(machine)
    StandardOutput.write(CalibrateCommand.summary(result, verbose: verbose), terminator: "")
    if let output {
      try result.profile.write(to: output)
      StandardOutput.line("profile: \(output), hash \(result.profile.hash)")
    } else if let path = CalibrateCommand.keep(result.profile) {
      StandardOutput.line("profile: \(path), hash \(result.profile.hash)")
    }
  }

  /// A profile, and how well it explains what was measured.
  struct Result {
    var profile: MachineProfile
    var fit: PriceFit
    var samples: [PriceFit.Sample]
    var names: [String]
    var seconds = 0.0
    var notes: [String] = []
  }

  /// Measures the machine.
  ///
  /// - Throws: `MemoryError`; `InterruptedError` on Ctrl-C.
  static func measure(_ machine: MachineProfile.Machine) throws -> Result {
    let auto = AutoBackend()
    let candidates = auto.candidates.map { Competitor($0.backend, variant: $0.variant) }
    var progress = ProgressBar(total: 100)
    let calibration = try Calibration(
      Calibration.items, candidates: candidates,
      isCandidate: { candidate, item in
        auto.considers(
          AutoBackend.Candidate(backend: candidate.backend, variant: candidate.variant), item.operation)
      },
      progress: { progress.update(Int($0 * 100), "calibrating") },
      shouldStop: { Interruption.isRequested })
    progress.clear()
    if Interruption.isRequested { throw InterruptedError(description: "") }
    var result = fit(
      calibration.samples, machine,
      names: calibration.measurements.map {
        "\($0.label) \($0.item.problem.problem) \($0.item.pass.rawValue) \($0.item.format.rawValue)"
      })
    result.seconds = calibration.seconds
    if calibration.unreached > 0 {
      result.notes.append(
        "\(calibration.unreached) of \(Calibration.items.count) operations were not reached in "
          + "\(Int(Calibration.mostSeconds)) seconds: what they price is drawn from the nearest table")
    }
    return result
  }

  private static func fit(
    _ samples: [PriceFit.Sample], _ machine: MachineProfile.Machine, names: [String]
  ) -> Result {
    let fit = PriceFit(samples, prior: MachineProfile.known(for: machine).prices)
    let formatter = ISO8601DateFormatter()
    formatter.formatOptions = [.withFullDate]
    let profile = MachineProfile(
      name: machine.slug, machine: machine, prices: fit.prices,
      origin: .calibrated(day: formatter.string(from: Date())))
    return Result(profile: profile, fit: fit, samples: samples, names: names)
  }

  /// Prices by the rows of stored runs.
  private func read(_ machine: MachineProfile.Machine) throws -> Result {
    var samples: [PriceFit.Sample] = []
    var names: [String] = []
    var items: [[String]: Int] = [:]
    for folder in from {
      for row in try RunReport(reading: folder).rows {
        guard row.threads == 1, row.cache == .warm, row.verification.verdict == .passed,
          row.medianMilliseconds.isFinite, row.isa == machine.instructionSet.rawValue,
          let work = ConvWork(text: row.work)
        else { continue }
        let number = items[row.itemKey] ?? items.count
        items[row.itemKey] = number
        samples.append(PriceFit.Sample(work: work, nanoseconds: row.medianMilliseconds * 1e6, item: number))
        names.append("\(row.backend) \(row.problem) \(row.pass.rawValue) \(row.format.rawValue)")
      }
    }
    if samples.isEmpty {
      throw UsageError(
        "\(from.joined(separator: ", ")): no row of one thread, warm caches and \(machine.instructionSet) that has its work"
      )
    }
    return CalibrateCommand.fit(samples, machine, names: names)
  }

  /// Keeps a profile for this machine; where that cannot be, it holds for this process, and a warning says so.
  @discardableResult
  static func keep(_ profile: MachineProfile) -> String? {
    MachineProfile.use(profile)
    guard let store = ProfileStore.standard() else {
      Terminal.warn(
        "warning: neither XDG_CACHE_HOME nor HOME names a folder: the profile holds for this process only")
      return nil
    }
    do {
      try store.keep(profile)
      return store.path(of: profile.machine)
    } catch {
      Terminal.warn("warning: the profile holds for this process only: \(error)")
      return nil
    }
  }

  private static func summary(_ result: Result, verbose: Bool) -> String {
    let ratios = result.fit.ratios.filter(\.isFinite)
    let near = ratios.filter { abs($0 - 1) <= 0.1 }.count
    var text = "\(result.profile.machine)\n"
    text += "\(ratios.count) plans"
    if result.seconds > 0 { text += String(format: " in %.1f s", result.seconds) }
    text += ", \(near) predicted within 10 %; predicted over measured time: median "
    text += String(
      format: "%.2f, 90 %% of them in %.2f–%.2f\n", Statistics.median(ratios),
      Statistics.quantile(ratios, 0.05),
      Statistics.quantile(ratios, 0.95))
    for note in result.notes { text += "note: \(note)\n" }
    guard verbose else { return text }
    let nearest = MachineProfile.known(for: result.profile.machine)
    var table = TextTable(["kind of work", "ns per unit", nearest.name], rightAligned: [1, 2])
    for kind in ConvWork.Kind.allCases {
      let (own, other) = (result.profile.prices[kind], nearest.prices[kind])
      if own == 0 && other == 0 { continue }
      table.add([kind.name, String(format: "%.4g", own), String(format: "%.4g", other)])
    }
    text += table.text + "\n"
    let order = result.fit.ratios.indices.sorted {
      abs(log(result.fit.ratios[$0])) > abs(log(result.fit.ratios[$1]))
    }
    for index in order.prefix(12) {
      text += String(
        format: "%.2f  predicted %.4g ms, measured %.4g ms  ", result.fit.ratios[index],
        result.fit.ratios[index] * result.samples[index].nanoseconds * 1e-6,
        result.samples[index].nanoseconds * 1e-6)
      text += result.names[index] + "\n"
    }
    return text
  }
}
