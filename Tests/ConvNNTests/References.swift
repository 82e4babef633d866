import ConvHarness
import ConvAutograd
import Testing

extension ReferenceFile {
  func sizes(_ key: String) throws -> Sizes { Sizes(try #require(attributes[key]?.integers)) }
}
