import ConvCore
import Testing

/// What Linux says of processors, as recorded.
@Suite struct ProcessorModelTests {
  private static let zen3 = """
    processor\t: 0
    vendor_id\t: AuthenticAMD
    cpu family\t: 25
    model\t\t: 1
    model name\t: AMD EPYC 7763 64-Core Processor
    stepping\t: 1
    microcode\t: 0xffffffff
    cpu MHz\t\t: 2445.432
    cache size\t: 512 KB
    flags\t\t: fpu vme de pse tsc msr avx2 fma

    processor\t: 1
    vendor_id\t: AuthenticAMD
    cpu family\t: 99
    """
  private static let zen5 = """
    processor\t: 0
    vendor_id\t: AuthenticAMD
    cpu family\t: 26
    model\t\t: 2
    model name\t: AMD EPYC
    stepping\t: 1
    """
  private static let emeraldRapids = """
    processor\t: 0
    vendor_id\t: GenuineIntel
    cpu family\t: 6
    model\t\t: 207
    model name\t: INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.10GHz
    stepping\t: 2
    """
  private static let graviton = """
    processor\t: 0
    BogoMIPS\t: 243.75
    Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp
    CPU implementer\t: 0x41
    CPU architecture: 8
    CPU variant\t: 0x3
    CPU part\t: 0xd0c
    CPU revision\t: 1

    processor\t: 1
    CPU implementer\t: 0x51
    """

  @Test func recordedTextsAreRead() {
    for (text, expected, description) in [
      (
        Self.zen3,
        ProcessorModel(
          name: "AMD EPYC 7763 64-Core Processor", vendor: "AuthenticAMD", family: 25, model: 1, stepping: 1),
        "AMD EPYC 7763 64-Core Processor (family 25, model 1, stepping 1)"
      ),
      (
        Self.zen5,
        ProcessorModel(name: "AMD EPYC", vendor: "AuthenticAMD", family: 26, model: 2, stepping: 1),
        "AMD EPYC (family 26, model 2, stepping 1)"
      ),
      (
        Self.emeraldRapids,
        ProcessorModel(
          name: "INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.10GHz", vendor: "GenuineIntel", family: 6,
          model: 207,
          stepping: 2), "INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.10GHz (family 6, model 207, stepping 2)"
      ),
      (
        Self.graviton,
        ProcessorModel(name: "implementer 0x41", vendor: "0x41", family: 8, model: 0xd0c, stepping: 1),
        "implementer 0x41 (family 8, model 3340, stepping 1)"
      ),
      // What the first processor does not say is not taken from the second.
      ("model name: A\n\nmodel name: B\nstepping: 4\n", ProcessorModel(name: "A"), "A"),
      ("", ProcessorModel(name: "unknown"), "unknown"),
      ("model name\t:\nstepping\t: unknown\n", ProcessorModel(name: "unknown"), "unknown"),
      ("\n\n\(Self.zen5)", ProcessorModel(cpuinfo: Self.zen5), "AMD EPYC (family 26, model 2, stepping 1)"),
    ] {
      let found = ProcessorModel(cpuinfo: text)
      #expect(found == expected && found.description == description, "\(found)")
    }
  }

  /// `model` is not `model name`, in whichever order they come.
  @Test func fieldsAreWholeNames() {
    let text = "vendor_id: A\nmodel name: 17 B\nmodel: 4\ncpu family: 2\nstepping: 9"
    #expect(ProcessorModel(cpuinfo: text).model == 4)
  }
}
