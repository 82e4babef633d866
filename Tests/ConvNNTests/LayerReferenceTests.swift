import ConvCore
import ConvHarness
import ConvTestSupport
import TestBounds
import Testing

/// Layers and losses against PyTorch's stored numbers, forward and gradients, in float64 and float32. What they may differ is derived,
/// entry by entry, from the roundings of each formula (`RoundingTape`).
@Suite struct LayerReferenceTests {
  @Test(arguments: LayerCase.counts.sorted { $0.key < $1.key })
  func thereAreCases(_ operation: String, _ least: Int) throws {
    #expect(try ReferenceFile.cases(operation).count >= least, "\(operation)")
    if operation == "dropout" { #expect(try Self.scalingDropouts().count >= 1) }
  }

  @Test(arguments: try LayerCase.all(), [ElementType.float64, .float32])
  func agreesWithPyTorch(_ test: LayerCase, _ type: ElementType) throws {
    let bounds = try test.bounds(type)
    // Nothing that is stored stays unjudged.
    let expected = test.stored.file.tensors.filter { $0.value.elementType == .float64 }
    #expect(Set(expected.keys).isSubset(of: bounds.allowed.keys), "\(test.stored)")
    #expect(bounds.undecided.isEmpty, "\(test.stored): \(bounds.undecided)")
    let worst = try bounds.worst(test.stored, test.results(type)).all
    #expect(worst.ratio <= 1, "\(worst)")
    if type == .float64 {
      let formula = try bounds.worstOfFormula(test.stored).all
      #expect(formula.ratio <= 1, "the derivation: \(formula)")
    }
  }

  /// Bounds far above what happens would judge nothing: of each kind of tensor the largest error comes near its bound.
  @Test(arguments: LayerCase.counts.keys.sorted())
  func boundsAreSharp(_ operation: String) throws {
    var kinds: [String: Double] = [:]
    for test in try LayerCase.all(operation) {
      for (name, worst) in try test.bounds(.float32).worst(test.stored, test.results(.float32)) {
        let kind = name.filter { !$0.isNumber }
        kinds[kind] = max(kinds[kind] ?? 0, worst.ratio)
      }
    }
    for (kind, ratio) in kinds {
      let isExact = ["relu", "flatten"].contains(operation) || (operation, kind) == ("max_pool2d", "output")
      #expect(isExact ? ratio == 0 : (0.1...1).contains(ratio), "\(operation), \(kind): \(ratio)")
    }
  }

  /// TF32 keeps 11 bits: of the results of one tensor, or of the operands. Cases whose numbers have no more lose nothing.
  @Test(arguments: try LayerCase.all().filter { try !$0.finerResults.isEmpty || $0.losesByOperands })
  func arithmeticOf11BitsFails(_ test: LayerCase) throws {
    let bounds = try test.bounds(.float32)
    let results = try test.results(.float32)
    for (name, tensor) in try test.finerResults {
      var found = results
      found[name] = try tensor.rounded(bits: 11)
      let worst = try bounds.worst(test.stored, found).all
      #expect(worst.ratio > 1, "\(name): \(worst)")
    }
    if try test.losesByOperands {
      let worst = try bounds.worst(test.stored, test.with(.coarseOperands).results(.float32)).all
      #expect(worst.ratio > 1, "\(worst)")
    }
  }

  @Test func fewCasesHaveNothingToLose() throws {
    let exact = try LayerCase.all().filter { try $0.finerResults.isEmpty && !$0.losesByOperands }
    // One class, and dropout with p = 1: the results are 0 whatever is given.
    #expect(exact.count <= 3 && exact.allSatisfy { ["cross_entropy", "dropout"].contains($0.stored.op) })
  }

  @Test(arguments: try LayerCase.all("batch_norm2d"))
  func wrongConstantsOfBatchNormFail(_ test: LayerCase) throws {
    let (eps, momentum) = (try test.stored.number("eps"), try test.stored.number("momentum"))
    var faults = [LayerCase.Fault.eps(eps / 10)]
    if try test.stored.flag("training") { faults.append(.momentum(momentum * 0.99999)) }
    let bounds = try test.bounds(.float32)
    for fault in faults {
      let worst = try bounds.worst(test.stored, test.with(fault).results(.float32)).all
      #expect(worst.ratio > 1, "\(fault): \(worst)")
    }
  }

  /// Those that scale anything.
  static func scalingDropouts() throws -> [LayerCase] {
    try LayerCase.all("dropout").filter { test in
      let p = try test.stored.number("p")
      return try test.stored.flag("training") && p > 0 && p < 1
    }
  }

  @Test(arguments: try scalingDropouts())
  func aWrongScaleOfDropoutFails(_ test: LayerCase) throws {
    let p = try test.stored.number("p")
    let worst = try test.bounds(.float32).worst(
      test.stored, test.with(.probability(p * 0.99999)).results(.float32)
    ).all
    #expect(worst.ratio > 1, "\(worst)")
  }
}
