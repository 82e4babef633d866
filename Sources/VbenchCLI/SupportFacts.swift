import ConvBackends
import ConvCore
import ConvHarness

/// What every report states about the machine, the build and the libraries, so that two runs can be told apart.
enum RunFacts {
  /// A fact by its name.
  typealias Fact = (key: String, value: String)

  /// The machine and the build; `threads` are those of the pools in use.
  static func machine(threads: [Int]) -> [Fact] {
    let machine = MachineDescription()
    return [
      ("CPU", "\(machine.cpu), \(machine.threadsText)"),
      ("caches", machine.caches.joined(separator: ", ")), ("memory", machine.memory),
      ("system", machine.system), ("instruction set", InstructionSet.current.rawValue),
      ("profile", "\(MachineProfile.current)"),
      ("threads used", threads.map { "\($0)" }.joined(separator: ", ")),
      ("vbench", "\(Vbench.version), commit \(machine.commit ?? "unknown"), \(machine.configuration)"),
      ("Swift", machine.swift),
    ].filter { !$0.1.isEmpty }
  }

  /// What the caches hold when samples begin.
  static func cache(_ states: [CacheState]) -> Fact {
    let known = CacheState.allCases.filter(states.contains)
    var text = known.map { "\($0.rawValue): \($0.definition)" }.joined(separator: "; ")
    if CacheSizes.current.levels.isEmpty && known != [.warm] {
      text += "; the system does not state the caches' sizes: 1 MiB a thread and 32 MiB are assumed"
    }
    return ("cache state", text)
  }

  /// The libraries, what they run on and why.
  static var libraries: [Fact] {
    BackendRegistry.libraries.map { ($0.name, "\($0.version); \($0.reason)") }
  }

  /// The command line, as a shell would take it again.
  static var command: String {
    (CommandLine.arguments.prefix(1) + Vbench.arguments).map(ShellText.quoted).joined(separator: " ")
  }
}
