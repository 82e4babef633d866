import ArgumentParser
import ConvBackends
import ConvCore
import ConvHarness
import Foundation

/// `--profile` and `--no-calibrate`: the prices that auto chooses by.
struct ProfileOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A profile of `vbench calibrate` to predict times by; if left out this machine's.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var profile: String?

  @Flag(
    help: """
      On a CPU that nothing is known of, take another machine's prices instead of measuring this one's first.
      """)
  var noCalibrate = false

  /// Reads a file that is named, for what is wrong with it.
  ///
  /// - Throws: `FileError`.
  func check() throws {
    if let profile { _ = try MachineProfile(path: profile) }
  }

  /// Makes the machine's profile that of this process; to be called after OpenBLAS has got its core. Where nothing is known of the
  /// machine and choices are going to be made, it is calibrated now, and says so.
  ///
  /// - Throws: `FileError` for a file that was named and is no profile; `InterruptedError`.
  func apply(to competitors: [Competitor]) throws {
    let machine = MachineProfile.Machine.current
    if let path = profile {
      let profile = try MachineProfile(path: path)
      if profile.machine != machine {
        Terminal.warn("note: \(path) has the prices of \(profile.machine), this is \(machine)")
      }
      return MachineProfile.use(profile)
    }
    var found = MachineProfile.known(for: machine)
    do {
      found = try MachineProfile.find(for: machine)
    } catch {
      Terminal.warn("warning: the profile that is kept for this machine is of no use: \(error)")
    }
    if case .borrowed(let other) = found.origin, competitors.contains(where: { $0.backend is AutoBackend }) {
      if BuildConfiguration.isDebug || noCalibrate {
        let reason = noCalibrate ? "--no-calibrate" : "a debug build refuses to time"
        Terminal.warn("note: no profile of \(machine) (\(reason)): auto chooses by the prices of \(other)")
      } else {
        Terminal.warn(
          "note: no profile of \(machine): measuring one, some \(Int(Calibration.mostSeconds)) seconds "
            + "(once; --no-calibrate takes the prices of \(other))")
        found = try CalibrateCommand.measure(machine).profile
        CalibrateCommand.keep(found)
      }
    }
    MachineProfile.use(found)
  }
}
