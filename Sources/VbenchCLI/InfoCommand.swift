import ArgumentParser
import ConvBackends
import ConvCore
import ConvVision
import Foundation

/// `vbench info`: the machine and the libraries.
struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Prints the machine, the build and the libraries, as reports name them.",
    discussion: """
      EXAMPLE
        vbench info
        VBENCH_ISA=avx2 vbench info     which instruction set would be used then
      """)

  @OptionGroup var openBLAS: OpenBLASOption

  func run() throws {
    if let error = InstructionSet.environmentError { throw error }
    // What is to be noted stands in the table and above it.
    _ = try BackendRegistry.applyOpenBLASCore(openBLAS.core)
    for warning in BackendRegistry.libraryWarnings { StandardOutput.line("warning: \(warning)") }
    let pool = try NameList.pool(threads: nil)
    let machine = MachineDescription()
    var table = TextTable(["vbench", Vbench.version + (machine.commit.map { " (commit \($0))" } ?? "")])
    table.add(["build", "\(machine.configuration), Swift \(machine.swift)"])
    table.add(["system", machine.system])
    table.add(["CPU", machine.cpu])
    table.add(["cores", machine.threadsText])
    table.add(["caches", machine.caches.isEmpty ? "unknown" : machine.caches.joined(separator: ", ")])
    table.add(["memory", machine.memory])
    let available = InstructionSet.available.map(\.rawValue).joined(separator: ", ")
    table.add(["instruction set", "\(InstructionSet.current) (this CPU has \(available))"])
    table.add(["profile", "\(MachineProfile.current)"])
    table.add(["worker threads", "\(pool.threads)"])
    table.add(["backends", BackendRegistry.names.joined(separator: ", ")])
    for library in BackendRegistry.libraries {
      table.add([library.name, library.version])
      table.add(["", "\(library.runsOn): \(library.reason)"])
    }
    table.add(["zlib", zlibVersionText])
    table.add(["references", (try? ReferenceFolder.locate()) ?? "none found (--references DIR names some)"])
    table.add(["cache state", "\(RunFacts.cache([.warm]).value) (unless --cache says otherwise)"])
    StandardOutput.write(table.text)
  }
}
