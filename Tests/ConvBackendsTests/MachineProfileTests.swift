import ConvCore
import Foundation
import Testing

@testable import ConvBackends

/// Profiles: what they are known by, and which machine gets which.
@Suite struct MachineProfileTests {
  // MARK: Hash and name

  @Test func theHashIsThatOfThePrices() {
    let profile = TestProfile.profile(WorkPrices([.products: 0.5, .movedFar: 0.023, .calls: 31]))
    // FNV-1a of "products=0.5\nmovedFar=0.023\ncalls=31.0\n", computed by other means.
    #expect(profile.hash == "8233b1539222e48f")
    #expect(TestProfile.profile(WorkPrices()).hash == "cbf29ce484222325")
    var same = profile
    same.name = "other"
    same.machine = TestProfile.zen5Machine
    same.origin = .builtIn
    #expect(same.hash == profile.hash && same != profile)
    // Each price counts.
    var hashes: Set<String> = [profile.hash]
    for kind in ConvWork.Kind.allCases {
      var other = profile
      other.prices[kind] += 0.001
      hashes.insert(other.hash)
    }
    #expect(hashes.count == ConvWork.Kind.allCases.count + 1)
  }

  @Test func machinesHavePlainNames() {
    #expect(TestProfile.zen5Machine.slug == "amd-epyc-26-2-1-avx512-cooperlake")
    #expect(
      TestProfile.zen5Machine.description
        == "AMD EPYC (family 26, model 2, stepping 1), avx512, OpenBLAS core Cooperlake")
    let intel = MachineProfile.Machine(
      processor: ProcessorModel(
        name: "INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.10GHz", vendor: "GenuineIntel", family: 6, model: 207,
        stepping: 2), instructionSet: .avx2, libraryCore: nil)
    #expect(intel.slug == "intel-r-xeon-r-platinum-8581c-cpu-2-10ghz-6-207-2-avx2")
    let bare = MachineProfile.Machine(
      processor: ProcessorModel(name: "../../Größe 9"), instructionSet: .baseline, libraryCore: "A/b")
    #expect(
      bare.slug.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") }, "\(bare.slug)")
    // What prices depend on is in the name.
    var slugs: Set<String> = []
    for change in [
      { _ in }, { $0.processor.family = 25 }, { $0.processor.model = 1 }, { $0.processor.stepping = 2 },
      { $0.instructionSet = .avx2 }, { $0.libraryCore = "Haswell" }, { $0.libraryCore = nil },
      { $0.processor.name = "AMD Ryzen" },
    ] as [(inout MachineProfile.Machine) -> Void] {
      var machine = TestProfile.zen5Machine
      change(&machine)
      slugs.insert(machine.slug)
    }
    #expect(slugs.count == 8, "\(slugs)")
  }

  @Test func aProfileSaysWhereItComesFrom() {
    var profile = TestProfile.profile(WorkPrices([.calls: 1]), name: "p")
    let head = "p, hash \(profile.hash): "
    #expect(profile.description == head + "calibrated on 2000-01-02")
    profile.origin = .builtIn
    #expect(profile.description == head + "a table of this build")
    profile.origin = .borrowed(from: TestProfile.zen5Machine)
    #expect(
      profile.description == head + "nothing is known of this machine; prices of \(TestProfile.zen5Machine)")
  }

  // MARK: Tables

  @Test func tablesArePlausible() {
    #expect(Set(BuiltInProfile.all.map(\.name)).count == BuiltInProfile.all.count)
    for table in BuiltInProfile.all {
      for kind in ConvWork.Kind.allCases { #expect(table.prices[kind] >= 0 && table.prices[kind].isFinite) }
      for access in ConvWork.Access.allCases {
        let (near, shared, far) = access.kinds
        #expect(table.prices[near] <= table.prices[shared] && table.prices[shared] <= table.prices[far])
      }
      #expect(MachineProfile.known(for: table.machine).prices == table.prices)
    }
  }

  /// The same processor, whatever hypervisors call it and whichever stepping it is.
  @Test func aTableHoldsForItsClass() {
    func origin(_ change: (inout MachineProfile.Machine) -> Void) -> MachineProfile.Origin {
      var machine = TestProfile.zen5Machine
      change(&machine)
      let profile = MachineProfile.known(for: machine)
      #expect(profile.machine == machine)
      return profile.origin
    }
    for change in [
      { _ in }, { $0.processor.name = "AMD EPYC 9655" }, { $0.processor.stepping = 7 },
      { $0.processor.stepping = nil }, { $0.libraryCore = nil },
    ] as [(inout MachineProfile.Machine) -> Void] {
      #expect(origin(change) == .builtIn)
    }
    for change in [
      { $0.processor.model = 3 }, { $0.processor.family = 25 }, { $0.processor.vendor = "GenuineIntel" },
      { $0.instructionSet = .avx2 }, { $0.instructionSet = .baseline }, { $0.libraryCore = "Haswell" },
      { $0.processor.family = nil }, { $0.processor = ProcessorModel(name: "AMD EPYC") },
    ] as [(inout MachineProfile.Machine) -> Void] {
      guard case .borrowed(let other) = origin(change) else {
        Issue.record("a table holds for another class")
        continue
      }
      #expect(BuiltInProfile.all.contains { $0.machine == other })
    }
  }

  /// Vectors of the same width come first, then the vendor, then the library's core.
  @Test func theNearestMachineLendsItsPrices() {
    func machine(_ vendor: String, _ set: InstructionSet, _ core: String?) -> MachineProfile.Machine {
      MachineProfile.Machine(
        processor: ProcessorModel(name: "X", vendor: vendor, family: 99, model: 1, stepping: 1),
        instructionSet: set, libraryCore: core)
    }
    for wanted in InstructionSet.allCases {
      for vendor in ["AuthenticAMD", "GenuineIntel", "0x41"] {
        for core in ["Cooperlake", "Haswell", nil] {
          let profile = MachineProfile.known(for: machine(vendor, wanted, core))
          guard case .borrowed(let other) = profile.origin else {
            Issue.record("\(vendor) \(wanted) is known")
            continue
          }
          let table = BuiltInProfile.all.first { $0.machine == other }
          #expect(table?.prices(on: wanted) == profile.prices && table?.name == profile.name)
          let sets = BuiltInProfile.all.map(\.machine.instructionSet)
          if sets.contains(wanted) { #expect(other.instructionSet == wanted) }
          // Among equal sets the same vendor, if there is one.
          let equals = BuiltInProfile.all.filter { $0.machine.instructionSet == wanted }
          if equals.contains(where: { $0.machine.processor.vendor == vendor }) {
            #expect(other.processor.vendor == vendor)
          }
        }
      }
    }
  }

  /// FLOPs of our own kernels cost as much more as vectors are narrower; what is no vector's does not.
  @Test func borrowedPricesFollowTheVectors() throws {
    let table = try #require(BuiltInProfile.all.first { $0.machine.instructionSet == .avx512 })
    let narrow = table.prices(on: .baseline)
    #expect(table.prices(on: .avx512) == table.prices)
    for kind in ConvWork.Kind.allCases {
      let isOwn = [
        ConvWork.Kind.products, .implicitProducts, .windows, .transforms, .plainTransforms, .spectralProducts,
      ].contains(kind)
      #expect(narrow[kind] == (isOwn ? 4 : 1) * table.prices[kind], "\(kind.name)")
    }
  }
}
