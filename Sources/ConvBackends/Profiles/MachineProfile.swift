public import ConvCore

/// What work costs on one machine: the prices that `auto` chooses by, with a name and a hash by which two runs can be told to have
/// chosen alike. With equal profiles equal operations get equal plans.
public struct MachineProfile: Hashable, Sendable {
  /// What prices hold for.
  public struct Machine: Hashable, Sendable, CustomStringConvertible {
    /// The processor, down to its stepping.
    public var processor: ProcessorModel
    /// What our own kernels run on.
    public var instructionSet: InstructionSet
    /// The core that OpenBLAS runs, as in `Cooperlake`; nil in builds without OpenBLAS.
    public var libraryCore: String?

    /// A machine from its parts.
    public init(processor: ProcessorModel, instructionSet: InstructionSet, libraryCore: String?) {
      self.processor = processor
      self.instructionSet = instructionSet
      self.libraryCore = libraryCore
    }

    /// This one, with the core that OpenBLAS runs now.
    public static var current: Machine {
      Machine(
        processor: .current, instructionSet: .current, libraryCore: BackendRegistry.openBLASCore)
    }

    /// As in `AMD EPYC (family 26, model 2, stepping 1), avx512, OpenBLAS core Cooperlake`.
    public var description: String {
      "\(processor), \(instructionSet)" + (libraryCore.map { ", OpenBLAS core \($0)" } ?? "")
    }

    /// As in `amd-epyc-26-2-1-avx512-cooperlake`: lower-case letters, digits and hyphens.
    public var slug: String {
      let numbers = [processor.family, processor.model, processor.stepping].compactMap { $0 }.map(String.init)
      let parts = [processor.name] + numbers + [instructionSet.rawValue] + (libraryCore.map { [$0] } ?? [])
      var slug = ""
      for character in parts.joined(separator: "-").lowercased() {
        let isPlain = character.isASCII && (character.isLetter || character.isNumber)
        if isPlain { slug.append(character) } else if slug.last != "-" { slug.append("-") }
      }
      return slug
    }
  }

  /// Where prices come from.
  public enum Origin: Hashable, Sendable {
    /// A table of this build, measured on a processor of this class.
    case builtIn
    /// `vbench calibrate` on this machine, on that day (`2026-11-30`).
    case calibrated(day: String)
    /// Another machine's, since nothing is known of this one.
    case borrowed(from: Machine)
  }

  /// As in `zen5-avx512`; a calibrated one has its machine's slug.
  public var name: String
  /// What the prices hold for.
  public var machine: Machine
  public var prices: WorkPrices
  public var origin: Origin

  /// A profile from its parts.
  public init(name: String, machine: Machine, prices: WorkPrices, origin: Origin) {
    self.name = name
    self.machine = machine
    self.prices = prices
    self.origin = origin
  }

  /// `TextHash` of the prices as they are written: profiles with equal hashes choose alike, wherever they come from.
  public var hash: String { TextHash.digits(of: MachineProfile.text(of: prices)) }

  /// One kind per line, what costs something only.
  static func text(of prices: WorkPrices) -> String {
    ConvWork.Kind.allCases.filter { prices[$0] != 0 }.map { "\($0.name)=\(prices[$0])\n" }.joined()
  }
}

extension MachineProfile: CustomStringConvertible {
  /// As in `zen5-avx512 (1f0c…): a table of this build for AMD EPYC …`.
  public var description: String {
    let source =
      switch origin {
      case .builtIn: "a table of this build"
      case .calibrated(let day): "calibrated on \(day)"
      case .borrowed(let other): "nothing is known of this machine; prices of \(other)"
      }
    return "\(name), hash \(hash): \(source)"
  }
}
