public import ConvCore
import Synchronization

extension MachineProfile {
  private static let found = Mutex<MachineProfile?>(nil)

  /// The profile that `auto` chooses by in this process: the one that `use` was given, else the one that is kept for this machine,
  /// else the table of its class, else another machine's.
  ///
  /// A kept file that cannot be read counts as none: `find` says why.
  public static var current: MachineProfile {
    if let known = found.withLock({ $0 }) { return known }
    let machine = Machine.current
    let profile = (try? find(for: machine)) ?? known(for: machine)
    return found.withLock { found in
      if let found { return found }
      found = profile
      return profile
    }
  }

  /// Makes a profile that of this process. Plans that were made before stay as they are.
  public static func use(_ profile: MachineProfile) { found.withLock { $0 = profile } }

  /// The profile of a machine: kept by a calibration, else a table of this build.
  ///
  /// - Throws: `FileError` where a file is kept that is no profile of this machine.
  public static func find(for machine: Machine, in store: ProfileStore? = .standard()) throws
    -> MachineProfile
  {
    try store?.profile(of: machine) ?? known(for: machine)
  }

  /// The table of a machine's class; where it has none, that of the nearest machine, as borrowed.
  public static func known(for machine: Machine) -> MachineProfile {
    for table in BuiltInProfile.all where table.covers(machine) {
      return MachineProfile(name: table.name, machine: machine, prices: table.prices, origin: .builtIn)
    }
    let nearest = BuiltInProfile.nearest(to: machine)
    return MachineProfile(
      name: nearest.name, machine: machine, prices: nearest.prices(on: machine.instructionSet),
      origin: .borrowed(from: nearest.machine))
  }
}
