import ConvCore

@testable import ConvBackends

/// Profiles of machines that no test runs on.
enum TestProfile {
  /// A machine that does not exist.
  static let machine = MachineProfile.Machine(
    processor: ProcessorModel(name: "Test CPU", vendor: "Tests", family: 1, model: 2, stepping: 3),
    instructionSet: .avx2, libraryCore: "Testwell")

  /// The class of the table `zen5-avx512`.
  static let zen5Machine = MachineProfile.Machine(
    processor: ProcessorModel(name: "AMD EPYC", vendor: "AuthenticAMD", family: 26, model: 2, stepping: 1),
    instructionSet: .avx512, libraryCore: "Cooperlake")

  /// The table `zen5-avx512`.
  static let zen5 = MachineProfile.known(for: zen5Machine)

  /// A profile of `machine`.
  static func profile(_ prices: WorkPrices, name: String = "test") -> MachineProfile {
    MachineProfile(name: name, machine: machine, prices: prices, origin: .calibrated(day: "2000-01-02"))
  }

  /// Where all arithmetic costs the same but for these kinds, which cost nothing, and neither do memory and calls.
  static func free(_ kinds: ConvWork.Kind...) -> MachineProfile {
    var prices = WorkPrices()
    let arithmetic: [ConvWork.Kind] = [
      .products, .implicitProducts, .libraryProducts, .windows, .transforms, .plainTransforms, .fourier,
      .spectralProducts, .libraryTransforms, .modelled,
    ]
    for kind in arithmetic where !kinds.contains(kind) { prices[kind] = 1 }
    return profile(prices)
  }

  /// Random prices of every kind, within a factor of 100 of the table's.
  static func random(_ seed: UInt64) -> MachineProfile {
    var generator = PhiloxGenerator(seed: seed, stream: 3)
    var prices = WorkPrices()
    for kind in ConvWork.Kind.allCases {
      var price = zen5.prices[kind] == 0 ? 1e-3 : zen5.prices[kind]
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        price *= Bool.random(using: &generator) ? 4 : 0.25
      }
      prices[kind] = price
    }
    return profile(prices)
  }
}
