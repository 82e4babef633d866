import ConvCore

/// Collects deviations by the rules of References/README.md, "How to judge a float32 run".
struct TrajectoryJudge {
  private let trajectory: Trajectory
  /// nil: nothing is judged.
  private let scale: EnvelopeScale?
  private let u = 0x1p-24
  private(set) var deviations: [TrajectoryCheck.Deviation] = []

  init(_ trajectory: Trajectory, _ scale: EnvelopeScale?) {
    self.trajectory = trajectory
    self.scale = scale
  }

  private mutating func add(
    _ quantity: String, _ found: Double, _ expected: Double, _ allowance: Double, floor: Double
  ) {
    deviations.append(
      TrajectoryCheck.Deviation(
        quantity: quantity, found: found, expected: expected, allowed: allowance + floor))
  }

  /// What the envelopes allow at κ; zeros where nothing is judged.
  private func allowance(_ name: String, count: Int) throws -> [Double] {
    guard let scale else { return [Double](repeating: 0, count: count) }
    return try scale.allowance { try trajectory.values("envelope.k\($0).\(name)", count: count) }
  }

  /// - Parameter start: the parameters before the first step.
  mutating func steps(_ records: [StepRecord], _ start: [Tensor]) throws -> [TrajectoryStep] {
    let sizes = start.map(\.count)
    let count = trajectory.steps
    let loss = try trajectory.values("loss", count: count)
    let norm = try trajectory.values("grad_norm", count: count)
    let samples = sizes.reduce(0) { $0 + Trajectory.stepSamples($1) }
    let expected = try trajectory.values("step_samples", count: count * samples)
    let lossAllowance = try allowance("loss", count: count)
    let normAllowance = try allowance("grad_norm", count: count)
    let distanceAllowance = try allowance("step_distance", count: count)
    let medianAllowance = try allowance("step_medians", count: count * sizes.count)
    let before = start.flatMap(StepRecord.sample)
    return records.enumerated().map { i, record in
      let stored = Array(expected[i * samples..<(i + 1) * samples])
      let distance = TrajectoryJudge.distance(record.samples, stored, sizes: sizes)
      var step = TrajectoryStep(
        number: i + 1, loss: record.loss, lossReference: loss[i], gradientNorm: record.gradientNorm,
        gradientNormReference: norm[i], distance: distance)
      if scale != nil {
        step.lossAllowed = lossAllowance[i] + 8 * u * (1 + abs(loss[i]))
        step.gradientNormAllowed = normAllowance[i] + 8 * u * norm[i]
        // One rounding of each parameter per step.
        step.distanceAllowed = distanceAllowance[i] + Double(i + 1) * u
        deviations += step.deviations
        let medians = medianDeviations(
          i, record.samples, stored, before, sizes,
          Array(medianAllowance[i * sizes.count..<(i + 1) * sizes.count]))
        deviations += medians
        step.updateRatio = medians.map(\.ratio).max() ?? 0
      }
      return step
    }
  }

  /// The median distance of each parameter's sampled entries after step `i`.
  ///
  /// A norm is made by the few entries whose gradient has lost its sign, each a step of Adam away; the median is made by the others,
  /// which rounding moves by a millionth of that: it is what shows another moment or decay.
  private func medianDeviations(
    _ i: Int, _ found: [Double], _ expected: [Double], _ before: [Double], _ sizes: [Int],
    _ allowance: [Double]
  ) -> [TrajectoryCheck.Deviation] {
    var index = 0
    return sizes.enumerated().map { number, size in
      let range = index..<index + Trajectory.stepSamples(size)
      index = range.upperBound
      // Each step rounds the parameter once, and its update (which may be a sum of as large ones of both signs) some times.
      let floors = range.map { Double(i + 1) * u * (abs(expected[$0]) + 4 * abs(expected[$0] - before[$0])) }
      return TrajectoryCheck.Deviation(
        quantity: "median distance of \(trajectory.parameters[number]) after step \(i + 1)",
        found: Statistics.median(range.map { abs(found[$0] - expected[$0]) }), expected: 0,
        allowed: max(allowance[number] + Statistics.median(floors), .leastNonzeroMagnitude))
    }
  }

  /// ‖p − p*‖ / ‖p*‖ over all parameters, estimated from samples: each entry stands for size / m of its parameter's.
  static func distance(_ found: [Double], _ expected: [Double], sizes: [Int]) -> Double {
    var (difference, size) = (0.0, 0.0)
    var index = 0
    for count in sizes {
      let sampled = Trajectory.stepSamples(count)
      let weight = Double(count) / Double(sampled)
      for _ in 0..<sampled {
        difference += weight * (found[index] - expected[index]) * (found[index] - expected[index])
        size += weight * expected[index] * expected[index]
        index += 1
      }
    }
    return (difference / size).squareRoot()
  }

  /// What went wrong first in the first step that deviates; nil where none does.
  func divergence(_ steps: [TrajectoryStep], _ records: [StepRecord]) throws -> String? {
    guard scale != nil, let bad = steps.firstIndex(where: { !$0.isWithinAllowance }) else { return nil }
    let (step, record) = (steps[bad], records[bad])
    func worst(_ name: String, _ found: [Double]) throws -> [Double] {
      let count = found.count
      let all = bad * count..<(bad + 1) * count
      let expected = try trajectory.values(name, count: trajectory.steps * count)[all]
      let spread = try allowance(name, count: trajectory.steps * count)[all]
      return zip(found, zip(expected, spread)).map { found, stored in
        let allowed = max(stored.1 + 8 * u * stored.0, .leastNormalMagnitude)
        return found.isFinite ? abs(found - stored.0) / allowed : .infinity
      }
    }
    func times(_ ratio: Double) -> String { "\(RunReport.short(ratio)) times what is allowed" }
    let place = "step \(bad + 1) of \(trajectory.network.name) diverges first at "
    let inputs = try worst("step_inputs", record.inputs)
    if let layer = inputs.firstIndex(where: { $0 > 1 }) {
      return place + "the input of \(trajectory.layers[layer]), \(times(inputs[layer]))"
    }
    if step.deviations[0].ratio > 1 {
      return place
        + "the loss: what follows the input of \(trajectory.layers.last ?? ""), \(times(step.deviations[0].ratio))"
    }
    // The way back begins at the last layer.
    let gradients = try worst("step_gradients", record.gradients)
    if let parameter = gradients.lastIndex(where: { $0 > 1 }) {
      return place + "the gradient of \(trajectory.parameters[parameter]), \(times(gradients[parameter]))"
    }
    return place + "the parameters' update, \(times(step.deviations.map(\.ratio).max() ?? .nan))"
  }

  mutating func parameters(_ final: [Tensor], _ initial: [Tensor]) throws {
    let names = trajectory.parameters
    let count = names.count
    let normAllowance = try allowance("norm", count: count)
    let updateAllowance = try allowance("update_norm", count: count)
    let sampleAllowance = try allowance("sample_distance", count: count)
    let maxAllowance = try allowance("sample_max", count: count)
    let rounding = Double(trajectory.steps) * u
    for (i, name) in names.enumerated() {
      let values = final[i].values(as: Float.self).map(Double.init)
      let before = initial[i].values(as: Float.self).map(Double.init)
      let norm = try trajectory.values("norm.\(name)", count: 1)[0]
      add("norm of \(name)", length(values), norm, normAllowance[i], floor: rounding * norm)
      let update = try trajectory.values("update_norm.\(name)", count: 1)[0]
      add(
        "update norm of \(name)", length(zip(values, before).map(-)), update, updateAllowance[i],
        floor: rounding * norm)
      let indices = try trajectory.file.tensor("sample_indices.\(name)", .int64).values(as: Int64.self)
      let sample = try trajectory.values("sample.\(name)", count: indices.count)
      let differences = zip(indices, sample).map { values[Int($0)] - $1 }
      add(
        "sample of \(name)", length(differences) / length(sample), 0, sampleAllowance[i], floor: rounding)
      if trajectory.optimizer["op"]?.string != "adam" {
        let largest = sample.map(abs).max() ?? 0
        add(
          "sampled entries of \(name)", differences.map(abs).max() ?? 0, 0, maxAllowance[i],
          floor: rounding * largest)
      }
    }
  }

  private func length(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
}
