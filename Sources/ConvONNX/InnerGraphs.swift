// Operators that run graphs of their own. Each graph is gone through once; where it runs several times, with shapes that hold in all runs.

extension ShapeInference {
  typealias Known = Result<ModelValue, InferenceStop>

  /// Runs a graph within the present one; its outputs.
  ///
  /// - Parameter inputs: what is known of the graph's inputs, else what it states of them.
  private mutating func outputs(of graph: Onnx_GraphProto, inputs: [Known] = []) throws -> [Known] {
    scopes.enter(graph)
    defer { scopes.leave() }
    for (info, input) in zip(graph.input, inputs) { scopes.set(info.name, orStated(input, info.type)) }
    try run(graph)
    return graph.output.map { orStated(scopes[$0.name] ?? .failure(InferenceStop("is left out")), $0.type) }
  }

  // MARK: If

  /// The outputs of an `If`: of the branch that runs where that is known, else what both branches have in common.
  mutating func branches(of node: ModelNode) throws -> [Known] {
    guard let first = node.graph("then_branch"), let second = node.graph("else_branch") else {
      _ = leavesOutGraphs(of: node)
      return everywhere(node, "has no two branches")
    }
    if let condition = try? node.input(0).constants?.first {
      let (taken, other) = condition != 0 ? (first, second) : (second, first)
      findings.addIdle(functions.convolutions(in: [other]), in: node)
      return try outputs(of: taken)
    }
    let mark = findings.mark
    let (one, other) = (try outputs(of: first), try outputs(of: second))
    findings.addEither(since: mark, in: node)
    return zip(one, other).map { one, other in
      guard case .success(let value) = one, case .success(let second) = other else {
        if case .success = one { return located(other, node) }
        return located(one, node)
      }
      guard value.shape == second.shape else {
        let reason = "has branches of different shapes, and which one runs depends on the data"
        return .failure(InferenceStop(reason, at: node.title))
      }
      return .success(value.withoutConstants)
    }
  }

  // MARK: Loops

  /// The outputs of a `Loop`: values that go from one run of the body to the next, then those that are put together of all runs.
  mutating func loop(_ node: ModelNode) throws -> [Known] {
    let carried = node.inputs.dropFirst(2).map { $0 ?? .failure(InferenceStop("is left out")) }
    guard let body = node.graph("body"), body.input.count == 2 + carried.count,
      body.output.count > carried.count
    else {
      _ = leavesOutGraphs(of: node)
      return everywhere(node, "has no body for its \(carried.count) values")
    }
    let most = node.has(0) ? try? node.input(0).constants?.first : nil
    let goesOn = node.has(1) ? try? node.input(1).constants?.first : 1
    if let most, most <= 0 { return never(node, body, carried) }
    if goesOn == 0 { return never(node, body, carried) }
    // Where the body runs at all, its condition holds.
    let head: [Known] = try [
      .success(ModelValue([], isInteger: true)), .success(ModelValue([], constants: [1])),
    ]
    let (states, outputs) = try settled(node, body, head: head, states: carried, outputsBefore: 1)
    var count: Int?
    if let most, goesOn == 1, case .success(let condition) = outputs[0], condition.constants?.first == 1 {
      count = ModelValue.clamped(most)
    }
    return states
      + outputs.dropFirst(1 + carried.count).map { output in
        located(output, node).flatMap { value in
          guard let count else {
            return .failure(
              InferenceStop("puts together as many values as it runs, which the data say", at: node.title))
          }
          return stacked(value, count, axis: 0, node)
        }
      }
  }

  /// What comes out of a loop that never runs.
  private mutating func never(_ node: ModelNode, _ body: Onnx_GraphProto, _ carried: [Known]) -> [Known] {
    findings.addIdle(functions.convolutions(in: [body]), in: node)
    return carried
  }

  /// The outputs of a `Scan`: states, then values that are put together along an axis, an element for each of the inputs'.
  mutating func scan(_ node: ModelNode) throws -> [Known] {
    let scanned = node.int("num_scan_inputs", 0)
    let stateCount = node.inputs.count - scanned
    guard let body = node.graph("body"), scanned > 0, stateCount >= 0, body.input.count == node.inputs.count,
      body.output.count >= stateCount
    else {
      // In version 8 of the operator an input more, and a batch.
      _ = leavesOutGraphs(of: node)
      return everywhere(node, "has no body for \(node.inputs.count) inputs, \(scanned) of them to go through")
    }
    let inputs = node.inputs.map { $0 ?? .failure(InferenceStop("is left out")) }
    let axes = node.ints("scan_input_axes") ?? []
    var count: Int?
    let slices = inputs[stateCount...].enumerated().map { index, input in
      input.flatMap { value in
        stopping(node) {
          let axis = try node.axis(index < axes.count ? axes[index] : 0, rank: value.shape.count)
          count = count ?? value.shape[axis]
          var shape = value.shape
          shape.remove(at: axis)
          return try ModelValue(shape, isInteger: value.isInteger)
        }
      }
    }
    let (states, outputs) = try settled(
      node, body, states: Array(inputs[..<stateCount]), tail: slices, outputsBefore: 0)
    let outputAxes = node.ints("scan_output_axes") ?? []
    return states
      + outputs.dropFirst(stateCount).enumerated().map { index, output in
        located(output, node).flatMap { value in
          guard let count else {
            return .failure(InferenceStop("goes through an open number of values", at: node.title))
          }
          return stacked(value, count, axis: index < outputAxes.count ? outputAxes[index] : 0, node)
        }
      }
  }

  /// `SequenceMap` gives sequences, whose shapes are not followed; its body may state those of their elements.
  mutating func sequenceMap(_ node: ModelNode) throws -> [Known] {
    guard let body = node.graph("body"), body.input.count == node.inputs.count else {
      _ = leavesOutGraphs(of: node)
      return everywhere(node, "has no body for \(node.inputs.count) inputs")
    }
    let element = Known.failure(
      InferenceStop("takes the elements of a sequence, which are not followed", at: node.title))
    let mark = findings.mark
    _ = try outputs(of: body, inputs: [element] + node.inputs.dropFirst().map { $0 ?? element })
    findings.addRepeated(since: mark, in: node)
    return everywhere(node, "gives a sequence")
  }

  // MARK: Runs that follow each other

  /// Runs a body with shapes of its states that hold in all runs: those of the first where the body leaves them as they are. Which of
  /// them change is found by running it.
  ///
  /// - Returns: the states at the end, and all outputs of the body.
  private mutating func settled(
    _ node: ModelNode, _ body: Onnx_GraphProto, head: [Known] = [], states: [Known], tail: [Known] = [],
    outputsBefore: Int
  ) throws -> (states: [Known], outputs: [Known]) {
    var states = states.map { $0.map(\.withoutConstants) }
    let mark = findings.mark
    var isFirst = true
    while true {
      let start = steps
      let outputs = try outputs(of: body, inputs: head + states + tail)
      let changed = states.indices.filter { index in
        guard case .success(let before) = states[index] else { return false }
        guard case .success(let after) = outputs[outputsBefore + index] else { return true }
        return before.shape != after.shape
      }
      if changed.isEmpty {
        findings.addRepeated(since: mark, in: node)
        return (states.map { located($0, node) }, outputs)
      }
      repeatedSteps += steps - start
      guard repeatedSteps <= Self.mostRepeatedSteps else {
        throw InferenceStop(
          "it has loops within loops whose values change their shapes: more than \(Self.mostRepeatedSteps) "
            + "nodes and values would be gone through again")
      }
      findings.rewind(to: mark)
      // The second time nothing is left that could change.
      for index in isFirst ? changed : Array(states.indices) {
        guard case .success = states[index] else { continue }
        let reason =
          if case .failure(let stop) = outputs[outputsBefore + index] {
            "carries a value whose next shape is not known: \(stop.located(at: "its body").reason)"
          } else {
            "carries values that change their shapes from run to run"
          }
        states[index] = .failure(InferenceStop(reason, at: node.title))
      }
      isFirst = false
    }
  }

  /// Values of `count` runs along a new axis.
  private func stacked(_ value: ModelValue, _ count: Int, axis: Int, _ node: ModelNode) -> Known {
    stopping(node) {
      var shape = value.shape
      shape.insert(count, at: try node.axis(axis, rank: shape.count + 1))
      return try ModelValue(shape, isInteger: value.isInteger)
    }
  }

  private func located(_ known: Known, _ node: ModelNode) -> Known {
    known.mapError { $0.located(at: node.title) }
  }

  private func stopping(_ node: ModelNode, _ body: () throws -> ModelValue) -> Known {
    do {
      return .success(try body())
    } catch let stop as InferenceStop {
      return .failure(stop.located(at: node.title))
    } catch {
      return .failure(InferenceStop("\(error)", at: node.title))
    }
  }
}

extension ModelValue {
  /// The shape without the numbers, which may be others the next time.
  fileprivate var withoutConstants: ModelValue {
    var value = self
    value.constants = nil
    return value
  }
}
