// Images alone.
import ConvVision
import Testing

@Suite struct ImageImportTests {
  /// Tensors come with the images that are made of them.
  @Test func tensors() throws {
    let images = try LabelledImages(
      images: Tensor.zeros([2, 1, 4, 4], elementType: .uint8), labels: Tensor([1, 0] as [Int64], shape: [2]),
      classNames: ["a", "b"])
    #expect(images.count == 2)
  }
}
