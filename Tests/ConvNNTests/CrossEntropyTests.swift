import ConvAutograd
import ConvCore
import ConvNN
import Foundation
import Testing

/// What the stored cases of `cross_entropy` cannot say: values derived by hand, NaN, ∞ and refusals, as PyTorch 2.15 has them.
@Suite struct CrossEntropyTests {
  private func logits(_ values: [Double], _ shape: [Int]) throws -> Variable {
    Variable(try Tensor(values, shape: shape), requiresGrad: true)
  }
  private func labels(_ values: [Int64], _ shape: [Int]? = nil) throws -> Tensor {
    try Tensor(values, shape: shape ?? [values.count])
  }
  private func number(_ loss: Variable) -> Double { loss.value.scalar(as: Double.self) }

  /// log(e⁰ + e¹ + e²): what the class 0 of logits [x, x + 1, x + 2] costs.
  private let cost = log(1 + exp(1.0) + exp(2.0))

  @Test func ignoredRowsCountNowhere() throws {
    let x = try logits([1, 2, 3, 1, 2, 3], [2, 3])
    let loss = try CrossEntropyLoss()(x, labels([0, -100]))
    #expect(abs(number(loss) - cost) < 1e-14)
    try loss.backward()
    let gradient = try #require(x.grad).values(as: Double.self)
    #expect(abs(gradient[0] - (exp(-cost) - 1)) < 1e-14 && abs(gradient[2] - exp(2 - cost)) < 1e-14)
    #expect(gradient[3...].allSatisfy { $0 == 0 })
    // Another number may mean the same, a class as well.
    #expect(try abs(number(CrossEntropyLoss(ignoreIndex: 255)(x, labels([255, 0]))) - cost) < 1e-14)
    #expect(try abs(number(CrossEntropyLoss(ignoreIndex: 2)(x, labels([0, 2]))) - cost) < 1e-14)
    #expect(
      try abs(number(CrossEntropyLoss(labelSmoothing: 0.3)(x, labels([0, -100]))) - (cost - 0.3)) < 1e-14)
  }

  @Test func nothingThatCounts() throws {
    let x = try logits([1, 2, 3, 1, 2, 3], [2, 3])
    let none = try labels([-100, -100])
    let loss = try CrossEntropyLoss()(x, none)
    #expect(number(loss).isNaN)
    try loss.backward()
    #expect(x.grad?.values(as: Double.self) == [Double](repeating: 0, count: 6))
    #expect(try number(CrossEntropyLoss(reduction: .sum)(x, none)) == 0)
    #expect(try CrossEntropyLoss(reduction: .none)(x, none).value.values(as: Double.self) == [0, 0])
    let weight = try Tensor([0, 0, 1.0], shape: [3])
    #expect(try number(CrossEntropyLoss(weight: weight)(x, labels([0, 1]))).isNaN)
    #expect(try number(CrossEntropyLoss()(logits([1, 2, 3], [3]), labels([-100], []))).isNaN)
    #expect(try number(CrossEntropyLoss()(logits([], [0, 0]), labels([]))).isNaN)
  }

  @Test func shapes() throws {
    let single = try logits([0, 1, 2], [3])
    for reduction in Reduction.allCases {
      let loss = try CrossEntropyLoss(reduction: reduction)(single, labels([0], []))
      #expect(loss.shape == [] && abs(number(loss) - cost) < 1e-14)
    }
    // Positions behind the classes, in both memory formats.
    for format in MemoryFormat.allCases {
      let values: [Double] = [0, 10, 1, 11, 2, 12, 0, 10, 1, 11, 2, 12]
      let x = Variable(try Tensor(values, shape: [2, 3, 1, 2], format: format), requiresGrad: true)
      let each = try CrossEntropyLoss(reduction: .none)(x, labels([0, 1, 2, -100], [2, 1, 2]))
      #expect(each.shape == [2, 1, 2])
      let expected = [cost, cost - 1, cost - 2, 0]
      #expect(zip(each.value.values(as: Double.self), expected).allSatisfy { abs($0 - $1) < 1e-14 })
      try each.backward(gradient: Tensor([1.0, 0, 0, 5], shape: [2, 1, 2]))
      let gradient = try #require(x.grad)
      #expect(gradient.shape == [2, 3, 1, 2])
      let found = gradient.values(as: Double.self)
      #expect(abs(found[0] - (exp(-cost) - 1)) < 1e-14 && abs(found[4] - exp(2 - cost)) < 1e-14)
      #expect(found.indices.filter { found[$0] != 0 } == [0, 2, 4])
    }
  }

  /// A class that cannot be is no loss unless it is wanted.
  @Test func infiniteLogits() throws {
    let x = try logits([0, -.infinity, 2], [1, 3])
    #expect(try abs(number(CrossEntropyLoss()(x, labels([0]))) - log(1 + exp(2.0))) < 1e-14)
    #expect(try number(CrossEntropyLoss()(x, labels([1]))) == .infinity)
    #expect(try number(CrossEntropyLoss(labelSmoothing: 0.1)(x, labels([0]))) == .infinity)
  }

  @Test func refusals() throws {
    let x = try logits([1, 2, 3, 1, 2, 3], [2, 3])
    func refuse(
      _ target: Tensor, _ loss: CrossEntropyLoss = CrossEntropyLoss(), input: Variable? = nil
    ) {
      #expect(throws: ConvError.self, "\(loss) \(target)") { try loss(input ?? x, target) }
    }
    refuse(try labels([0, 3]))
    refuse(try labels([0, -1]))
    refuse(try labels([0, -100]), CrossEntropyLoss(ignoreIndex: -1))
    refuse(try labels([0]))
    refuse(try labels([0, 0], [2, 1]))
    refuse(try labels([0, 1]), CrossEntropyLoss(weight: try Tensor([1.0, 1], shape: [2])))
    refuse(try labels([0, 1]), CrossEntropyLoss(weight: try Tensor([1, 1, 1] as [Float], shape: [3])))
    refuse(try labels([0, 1]), CrossEntropyLoss(labelSmoothing: 1.5))
    refuse(try labels([0, 1]), CrossEntropyLoss(labelSmoothing: .nan))
    refuse(try Tensor([1.0, 0, 0], shape: [1, 3]))
    refuse(try Tensor([Float](repeating: 0.5, count: 6), shape: [2, 3]))
    refuse(try Tensor([UInt8](repeating: 0, count: 2), shape: [2]))
    refuse(try labels([0], []), input: Variable(try Tensor(scalar: 1.0)))
  }

  /// The sums of what `none` keeps are the others.
  @Test func lossesOfElements() throws {
    let (x, t) = (try logits([0.5, -1, 2, 3], [2, 2]), try logits([0, 1, 0.25, 1], [2, 2]))
    for make: (Reduction) throws -> Variable in [
      { try MSELoss(reduction: $0)(x, t) }, { try BCEWithLogitsLoss(reduction: $0)(x, t) },
    ] {
      func gradients(_ reduction: Reduction) throws -> (Variable, [Double], [Double]) {
        x.zeroGrad()
        t.zeroGrad()
        let loss = try make(reduction)
        try loss.sum().backward()
        return try (loss, #require(x.grad).values(as: Double.self), #require(t.grad).values(as: Double.self))
      }
      let (each, whole) = (try gradients(.none), try gradients(.sum))
      #expect(each.0.shape == [2, 2])
      #expect(abs(each.0.value.values(as: Double.self).reduce(0, +) - number(whole.0)) < 1e-14)
      #expect(zip(each.1 + each.2, whole.1 + whole.2).allSatisfy { abs($0 - $1) < 1e-15 })
    }
    let squares = try MSELoss(reduction: .none)(x, t)
    #expect(squares.value.values(as: Double.self) == [0.25, 4, 3.0625, 4])
    t.zeroGrad()
    x.zeroGrad()
    try squares.backward(gradient: Tensor([1.0, 10, 100, 1000], shape: [2, 2]))
    #expect(x.grad?.values(as: Double.self) == [1, -40, 350, 4000])
    #expect(t.grad?.values(as: Double.self) == [-1, 40, -350, -4000])
  }
}
