import ConvCore

/// A table of prices that was measured on one machine and holds for its class.
struct BuiltInProfile: Sendable {
  /// As in `zen5-avx512`.
  let name: String
  /// Where it was measured.
  let machine: MachineProfile.Machine
  let prices: WorkPrices

  /// Whether a machine is of the class: the same processor, whatever its name and stepping, instruction set and library core. Builds
  /// without OpenBLAS have no work that its core prices.
  func covers(_ other: MachineProfile.Machine) -> Bool {
    let (own, theirs) = (machine.processor, other.processor)
    return own.vendor == theirs.vendor && own.family == theirs.family && own.model == theirs.model
      && own.family != nil && machine.instructionSet == other.instructionSet
      && (other.libraryCore == nil || machine.libraryCore == other.libraryCore)
  }

  /// The prices as they would be with other vectors: our own FLOPs cost as much more as vectors are narrower.
  func prices(on instructionSet: InstructionSet) -> WorkPrices {
    var prices = prices
    let ratio = Double(machine.instructionSet.vectorBytes) / Double(instructionSet.vectorBytes)
    for kind in BuiltInProfile.vectorKinds { prices[kind] *= ratio }
    return prices
  }

  /// FLOPs of our own kernels. Fourier transforms are counted by vectors already.
  private static let vectorKinds: [ConvWork.Kind] = [
    .products, .implicitProducts, .windows, .transforms, .plainTransforms, .spectralProducts,
  ]

  /// Every table of this build. Nanoseconds of one unit on one thread, warm, by `PriceFit`'s method over the built-in suites at batch 1 and
  /// at their own batches, both formats, three passes, with the candidates of `auto`: 2026-11-30.
  static let all = [
    BuiltInProfile(
      name: "zen5-avx512",
      machine: MachineProfile.Machine(
        processor: ProcessorModel(
          name: "AMD EPYC", vendor: "AuthenticAMD", family: 26, model: 2, stepping: 1),
        instructionSet: .avx512, libraryCore: "Cooperlake"),
      prices: WorkPrices([
        .products: 0.00394,
        .implicitProducts: 0.00362,
        .libraryProducts: 0.0042,
        .windows: 0.00913,
        .transforms: 0.00621,
        .plainTransforms: 0.0167,
        .fourier: 0.384,
        .spectralProducts: 0.00453,
        .libraryTransforms: 0.669,
        .modelled: 0.94,
        .moved: 0.00309,
        .movedShared: 0.00309,
        .movedFar: 0.0238,
        .spreadFar: 0.0495,
        .reordered: 0.0123,
        .reorderedShared: 0.0123,
        .reorderedFar: 0.049,
        .gathered: 0.00946,
        .gatheredShared: 0.00946,
        .gatheredFar: 0.0186,
        .packed: 0.000996,
        .packedShared: 0.0215,
        .packedFar: 0.0389,
        .runs: 3.41,
        .calls: 26.2,
        .libraryCalls: 163.0,
      ]))
  ]

  /// The table whose machine has the most in common: instruction set first, then vendor, then library core.
  static func nearest(to machine: MachineProfile.Machine) -> BuiltInProfile {
    func likeness(_ table: BuiltInProfile) -> Int {
      let other = table.machine
      return (other.instructionSet == machine.instructionSet ? 4 : 0)
        + (other.processor.vendor == machine.processor.vendor ? 2 : 0)
        + (other.libraryCore == machine.libraryCore ? 1 : 0)
    }
    return all.reduce(all[0]) { likeness($1) > likeness($0) ? $1 : $0 }
  }
}
