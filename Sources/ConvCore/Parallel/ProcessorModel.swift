import Foundation

/// Which processor this is: what a price of work or a measured choice holds for.
///
/// Names alone do not tell: hypervisors shorten them (`AMD EPYC` is a Zen 3 or a Zen 5), family, model and stepping stay.
public struct ProcessorModel: Hashable, Sendable, CustomStringConvertible {
  /// As the system gives it: `AMD EPYC 7763 64-Core Processor`; `unknown` where it does not say.
  public var name: String
  /// `AuthenticAMD`, `GenuineIntel`; on ARM the implementer's number. Empty where the system does not say.
  public var vendor: String
  /// The numbers of the CPUID leaf 1, as the system prints them; nil where it does not.
  public var family, model, stepping: Int?

  /// A processor from its parts.
  public init(
    name: String, vendor: String = "", family: Int? = nil, model: Int? = nil, stepping: Int? = nil
  ) {
    self.name = name
    self.vendor = vendor
    self.family = family
    self.model = model
    self.stepping = stepping
  }

  /// From the text of `/proc/cpuinfo`: its first processor. A field is `name`, blanks, a colon and the value.
  public init(cpuinfo text: String) {
    var fields: [String: String] = [:]
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      // An empty line ends a processor.
      if parts.count < 2, !fields.isEmpty { break }
      if parts.count == 2, fields[parts[0]] == nil, !parts[1].isEmpty { fields[parts[0]] = parts[1] }
    }
    func number(_ names: String...) -> Int? {
      for name in names {
        guard let text = fields[name] else { continue }
        // ARM prints its numbers as 0xd0c.
        let isHexadecimal = text.hasPrefix("0x")
        if let value = Int(isHexadecimal ? String(text.dropFirst(2)) : text, radix: isHexadecimal ? 16 : 10) {
          return value
        }
      }
      return nil
    }
    vendor = fields["vendor_id"] ?? fields["CPU implementer"] ?? ""
    name = fields["model name"] ?? fields["CPU implementer"].map { "implementer \($0)" } ?? "unknown"
    family = number("cpu family", "CPU architecture")
    model = number("model", "CPU part")
    stepping = number("stepping", "CPU revision")
  }

  /// This machine's.
  public static let current = ProcessorModel(
    cpuinfo: (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? "")

  /// As in `AMD EPYC (family 26, model 2, stepping 1)`; the name alone where the system gives no numbers.
  public var description: String {
    let numbers = [("family", family), ("model", model), ("stepping", stepping)]
      .compactMap { part in part.1.map { "\(part.0) \($0)" } }
    return numbers.isEmpty ? name : "\(name) (\(numbers.joined(separator: ", ")))"
  }
}
