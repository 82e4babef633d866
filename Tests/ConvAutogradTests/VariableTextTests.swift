import ConvAutograd
import ConvCore
import Testing

/// What `print(loss)` shows.
@Suite struct VariableTextTests {
  @Test func valueAndOrigin() throws {
    let parameter = Variable(try Tensor([1, 2.5] as [Float], shape: [2]), requiresGrad: true)
    #expect(parameter.description == "Variable([1.0000, 2.5000], shape: [2], float32, requires a gradient)")
    #expect(parameter.detach().description == "Variable([1.0000, 2.5000], shape: [2], float32)")
    let logits = Variable(try Tensor.zeros([1, 10]), requiresGrad: true)
    let loss = try logits.crossEntropy(Tensor([3] as [Int64], shape: [1]))
    #expect(loss.description == "Variable(2.3026, shape: [], float32, from crossEntropy)")
    #expect(noGrad { loss.detach() }.description == "Variable(2.3026, shape: [], float32)")
    // The margin is that of the longer name.
    #expect(
      Variable(try Tensor.zeros([2, 1])).description == """
        Variable([[0.],
                  [0.]], shape: [2, 1], float32)
        """)
  }
}
