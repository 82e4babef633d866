import ConvCore
import ConvHarness

/// Engines from outside, as a user would plug them in: the oracle's arithmetic on plain float32 convolutions, spoilt on purpose.
extension FakeBackend {
  /// Changes a result after the fact: the operation, its elements, the pool that executes.
  public typealias PluginSpoil =
    @Sendable (ConvOperation, UnsafeMutableBufferPointer<Float>, WorkerPool) -> Void

  /// With `losesTap` the middle filter tap (for filter gradients the middle row of dy) is read as zero.
  public static func plugin(
    losesTap: Bool = false, _ spoil: @escaping PluginSpoil = { _, _, _ in }
  ) -> FakeBackend {
    FakeBackend("plugin") {
      $0.elementType == .float32 && $0.isCanonicalFormat && $0.epilogue.isEmpty
        ? nil : "plain float32 convolutions only"
    } changing: { plan in
      let operation = plan.operation
      plan.variant = "plugin"
      // As of an engine that says nothing about its work.
      plan.work = ConvWork([.libraryProducts: plan.executedFLOPs])
      if losesTap { plan.loseMiddleTap() }
      plan.spoil { spoil(operation, $0, $1) }
    }
  }

  /// Results are multiplied by what `factor` says of an operation.
  public static func scaled(_ factor: @escaping @Sendable (ConvOperation) -> Float) -> FakeBackend {
    plugin { operation, result, _ in
      let factor = factor(operation)
      for i in result.indices { result[i] *= factor }
    }
  }
}

extension FakePlan {
  /// The middle filter tap is read as zero; for filter gradients the middle row of dy.
  public mutating func loseMiddleTap() {
    let (problem, isGradient) = (operation.problem, operation.pass == .backwardFilter)
    let extent = isGradient ? problem.output : problem.filter
    read(isGradient ? .output : .filter) { values in
      for i in values.indices where i / extent.w % extent.h == extent.h / 2 {
        if isGradient || i % extent.w == extent.w / 2 { values[i] = 0 }
      }
    }
  }
}
