// Operators that move elements about: each gives the shape of its output, and its numbers where they are constant.

extension ModelNode {
  /// The first input's elements in another shape; 0 keeps a size, one −1 is what is left.
  func reshape() throws -> ModelValue {
    let value = try input(0)
    guard var shape = try ints("shape") ?? constants(1, "a shape") else {
      throw InferenceStop("has no shape")
    }
    if int("allowzero", 0) == 0 {
      for (axis, size) in shape.enumerated() where size == 0 {
        guard axis < value.shape.count else {
          throw InferenceStop("keeps axis \(axis) of the shape \(value.shape)")
        }
        shape[axis] = value.shape[axis]
      }
    }
    guard shape.allSatisfy({ $0 >= -1 }), shape.count(where: { $0 == -1 }) <= 1 else {
      throw InferenceStop("takes the shape \(Excerpt.of(shape))")
    }
    let count = try value.count
    let rest = try ModelValue.count(shape.filter { $0 != -1 })
    if let open = shape.firstIndex(of: -1) {
      guard rest > 0, count % rest == 0 else {
        throw InferenceStop("takes \(value.shape) to the shape \(Excerpt.of(shape))")
      }
      shape[open] = count / rest
    } else if rest != count {
      throw InferenceStop("takes \(value.shape) to the shape \(Excerpt.of(shape))")
    }
    return try ModelValue(shape, constants: value.constants, isInteger: value.isInteger)
  }

  /// Two axes: those before `axis` and those from there on.
  func flatten() throws -> ModelValue {
    let value = try input(0)
    let rank = value.shape.count
    let axis = int("axis", 1)
    guard (-rank...rank).contains(axis) else { throw InferenceStop("has axis \(axis) of \(rank) axes") }
    let split = axis < 0 ? axis + rank : axis
    return try ModelValue(
      [ModelValue.count(value.shape[..<split]), ModelValue.count(value.shape[split...])],
      constants: value.constants, isInteger: value.isInteger)
  }

  func squeeze() throws -> ModelValue {
    let value = try input(0)
    let axes =
      try axes("axes", orInput: 1, rank: value.shape.count)
      ?? value.shape.indices.filter { value.shape[$0] == 1 }
    guard axes.allSatisfy({ value.shape[$0] == 1 }) else {
      throw InferenceStop("takes the axes \(Excerpt.of(axes)) out of the shape \(value.shape)")
    }
    let shape = value.shape.indices.filter { !axes.contains($0) }.map { value.shape[$0] }
    return try ModelValue(shape, constants: value.constants, isInteger: value.isInteger)
  }

  func unsqueeze() throws -> ModelValue {
    let value = try input(0)
    let wanted = try ints("axes") ?? constants(1, "axes")
    guard let wanted, wanted.count <= 32 else { throw InferenceStop("has no axes, or too many") }
    let rank = value.shape.count + wanted.count
    let axes = try wanted.map { try axis($0, rank: rank) }
    guard Set(axes).count == axes.count else {
      throw InferenceStop("names an axis twice: \(Excerpt.of(axes))")
    }
    var rest = value.shape.makeIterator()
    let shape = (0..<rank).map { axes.contains($0) ? 1 : rest.next() ?? 1 }
    return try ModelValue(shape, constants: value.constants, isInteger: value.isInteger)
  }

  func transpose() throws -> ModelValue {
    let value = try input(0)
    let shape = value.shape
    let order = ints("perm") ?? shape.indices.reversed()
    guard order.sorted() == Array(shape.indices) else {
      throw InferenceStop("has perm \(Excerpt.of(order)) for the shape \(shape)")
    }
    let result = order.map { shape[$0] }
    let steps = value.steps
    let numbers = try value.gathered(result, steps: order.map { steps[$0] })
    return try ModelValue(result, constants: numbers, isInteger: value.isInteger)
  }

  func concat() throws -> ModelValue {
    let values = try inputs.indices.map { try input($0) }
    guard let first = values.first else { throw InferenceStop("has no input") }
    let axis = try axis(int("axis", 1), rank: first.shape.count)
    var shape = first.shape
    for value in values.dropFirst() {
      guard value.shape.count == shape.count,
        shape.indices.allSatisfy({ $0 == axis || value.shape[$0] == shape[$0] })
      else {
        throw InferenceStop("has inputs of the shapes \(Excerpt.of(values.map(\.shape))) along axis \(axis)")
      }
      shape[axis] = try ModelValue([shape[axis] + value.shape[axis]]).shape[0]
    }
    let numbers = values.compactMap(\.constants)
    let isList = shape.count == 1 && numbers.count == values.count
    return try ModelValue(shape, constants: isList ? numbers.flatMap { $0 } : nil, isInteger: first.isInteger)
  }

  func split() throws -> [ModelValue] {
    let value = try input(0)
    let axis = try axis(int("axis", 0), rank: value.shape.count)
    let size = value.shape[axis]
    let parts: [Int]
    if let given = try ints("split") ?? constants(1, "sizes") {
      parts = given
    } else {
      let count = int("num_outputs", outputCount)
      guard count > 0, count == outputCount else {
        throw InferenceStop("has \(outputCount) outputs and num_outputs \(count)")
      }
      // The last part is the smaller one.
      let part = (size + count - 1) / count
      parts = (0..<count).map { max(0, min(part, size - $0 * part)) }
    }
    guard parts.count == outputCount, parts.allSatisfy({ (0...size).contains($0) }),
      parts.reduce(0, +) == size
    else {
      throw InferenceStop("splits \(size) elements into \(Excerpt.of(parts))")
    }
    var start = 0
    return try parts.map { part in
      var shape = value.shape
      shape[axis] = part
      let numbers = value.shape.count == 1 ? value.constants.map { Array($0[start..<(start + part)]) } : nil
      start += part
      return try ModelValue(shape, constants: numbers, isInteger: value.isInteger)
    }
  }

  func slice() throws -> ModelValue {
    let value = try input(0)
    guard let starts = try ints("starts") ?? constants(1, "starts"),
      let ends = try ints("ends") ?? constants(2, "ends"), starts.count == ends.count, starts.count <= 32
    else { throw InferenceStop("has no starts and ends that fit together") }
    let axes = try axes("axes", orInput: 3, rank: value.shape.count) ?? Array(starts.indices)
    let steps = try constants(4, "steps") ?? Array(repeating: 1, count: starts.count)
    guard axes.count == starts.count, steps.count == starts.count, !steps.contains(0),
      axes.allSatisfy({ $0 < value.shape.count })
    else {
      throw InferenceStop(
        "has \(starts.count) starts, axes \(Excerpt.of(axes)) and steps \(Excerpt.of(steps))")
    }
    var shape = value.shape
    /// Of each axis the first element and the distance of two.
    var places = shape.map { _ in (from: 0, step: 1) }
    for (i, axis) in axes.enumerated() {
      let size = value.shape[axis]
      let isForward = steps[i] > 0
      /// A position counted from the end if it is negative, within the elements or just outside.
      func place(_ position: Int, _ low: Int, _ high: Int) -> Int {
        min(max(position < 0 ? position + size : position, low), high)
      }
      let from = isForward ? place(starts[i], 0, size) : place(starts[i], 0, size - 1)
      let to = isForward ? place(ends[i], 0, size) : place(ends[i], -1, size - 1)
      let distance = size == 0 ? 0 : isForward ? to - from : from - to
      let step = min(steps[i].magnitude, UInt(ModelValue.largestSize))
      shape[axis] = distance <= 0 ? 0 : (distance + Int(step) - 1) / Int(step)
      places[axis] = (from, isForward ? Int(step) : -Int(step))
    }
    let distances = value.steps
    let numbers = try value.gathered(
      shape, from: zip(places, distances).reduce(0) { $0 &+ $1.0.from &* $1.1 },
      steps: zip(places, distances).map { $0.step &* $1 })
    return try ModelValue(shape, constants: numbers, isInteger: value.isInteger)
  }

  func gather() throws -> ModelValue {
    let (value, indices) = (try input(0), try input(1))
    let axis = try axis(int("axis", 0), rank: value.shape.count)
    let shape = value.shape[..<axis] + indices.shape + value.shape[(axis + 1)...]
    var numbers: [Double]?
    if value.shape.count == 1, let all = value.constants, let places = indices.integers {
      numbers = try places.map { place in
        let index = place < 0 ? place + all.count : place
        guard all.indices.contains(index) else {
          throw InferenceStop("takes element \(place) of \(all.count)")
        }
        return all[index]
      }
    }
    return try ModelValue(Array(shape), constants: numbers, isInteger: value.isInteger)
  }

  func expand() throws -> ModelValue {
    let value = try input(0)
    guard let shape = try constants(1, "a shape") else { throw InferenceStop("has no shape") }
    let result = try ModelValue(OperatorRules.broadcast([value.shape, ModelValue(shape).shape])).shape
    return try ModelValue(result, constants: value.extended(to: result), isInteger: value.isInteger)
  }

  func tile() throws -> ModelValue {
    let value = try input(0)
    guard let repeats = try constants(1, "repeats"), repeats.count == value.shape.count else {
      throw InferenceStop("has no number of repeats for each of \(value.shape.count) axes")
    }
    let result = try ModelValue(zip(value.shape, ModelValue(repeats).shape).map { $0 * $1 }).shape
    // Each axis is two: the repetitions, which stay where they are, and the elements.
    let twice = zip(repeats, value.shape).flatMap { [$0, $1] }
    let numbers = try value.gathered(twice, steps: value.steps.flatMap { [0, $0] })
    return try ModelValue(result, constants: numbers, isInteger: value.isInteger)
  }

  func pad() throws -> ModelValue {
    let shape = try input(0).shape
    guard let pads = try ints("pads") ?? ints("paddings") ?? constants(1, "pads") else {
      throw InferenceStop("has no pads")
    }
    let axes = try axes("axes", orInput: 3, rank: shape.count) ?? Array(shape.indices)
    guard pads.count == 2 * axes.count,
      pads.allSatisfy({ (-ModelValue.largestSize...ModelValue.largestSize).contains($0) })
    else { throw InferenceStop("has pads \(Excerpt.of(pads)) for \(axes.count) axes") }
    var result = shape
    for (i, axis) in axes.enumerated() { result[axis] += pads[i] + pads[axes.count + i] }
    return try ModelValue(result)
  }

  func resize() throws -> ModelValue {
    let shape = try input(0).shape
    let axes = try axes("axes", orInput: .max, rank: shape.count) ?? Array(shape.indices)
    if let sizes = try constants(3, "sizes"), !sizes.isEmpty {
      guard (string("keep_aspect_ratio_policy") ?? "stretch") == "stretch" else {
        throw InferenceStop("keeps the aspect ratio, which is not supported")
      }
      guard sizes.count == axes.count else {
        throw InferenceStop("has sizes \(Excerpt.of(sizes)) for \(axes.count) axes")
      }
      var result = shape
      for (axis, size) in zip(axes, sizes) { result[axis] = size }
      return try ModelValue(result)
    }
    // Two inputs in version 10, the second of four later on.
    return try scaled(shape, axes: axes, by: input(inputs.count == 2 ? 1 : 2).constants)
  }

  func upsample() throws -> ModelValue {
    let shape = try input(0).shape
    return try scaled(
      shape, axes: Array(shape.indices), by: floats("scales") ?? (has(1) ? input(1).constants : nil))
  }

  private func scaled(_ shape: [Int], axes: [Int], by scales: [Double]?) throws -> ModelValue {
    guard let scales else { throw InferenceStop("takes scales that are not constant") }
    guard scales.count == axes.count, scales.allSatisfy({ $0 > 0 && $0 < 0x1p31 }) else {
      throw InferenceStop("has scales \(Excerpt.of(scales)) for \(axes.count) axes")
    }
    var result = shape
    // In float32, as every implementation does it: 1/3 of 9 is 3.
    for (axis, scale) in zip(axes, scales) {
      result[axis] = ModelValue.clamped(Double((Float(shape[axis]) * Float(scale)).rounded(.down)))
    }
    return try ModelValue(result)
  }

  func depthToSpace() throws -> ModelValue {
    let (shape, block) = try blocks()
    guard shape[1] % (block * block) == 0 else {
      throw InferenceStop("has \(shape[1]) channels and blocksize \(block)")
    }
    return try ModelValue([shape[0], shape[1] / (block * block), shape[2] * block, shape[3] * block])
  }

  func spaceToDepth() throws -> ModelValue {
    let (shape, block) = try blocks()
    guard shape[2] % block == 0, shape[3] % block == 0 else {
      throw InferenceStop("has blocksize \(block) for the shape \(shape)")
    }
    let (channels, overflow) = shape[1].multipliedReportingOverflow(by: block * block)
    guard !overflow else { throw InferenceStop("has blocksize \(block) for the shape \(shape)") }
    return try ModelValue([shape[0], channels, shape[2] / block, shape[3] / block])
  }

  private func blocks() throws -> (shape: [Int], block: Int) {
    let shape = try input(0).shape
    let block = int("blocksize", 0)
    guard shape.count == 4, (1...1 << 15).contains(block) else {
      throw InferenceStop("has blocksize \(block) for the shape \(shape)")
    }
    return (shape, block)
  }

  func gemm() throws -> ModelValue {
    let (a, b) = (try input(0).shape, try input(1).shape)
    guard a.count == 2, b.count == 2 else { throw InferenceStop("multiplies the shapes \(a) and \(b)") }
    let left = int("transA", 0) != 0 ? Array(a.reversed()) : a
    let right = int("transB", 0) != 0 ? Array(b.reversed()) : b
    guard left[1] == right[0] else { throw InferenceStop("multiplies the shapes \(left) and \(right)") }
    return try ModelValue([left[0], right[1]])
  }

  func matMul() throws -> ModelValue {
    var (a, b) = (try input(0).shape, try input(1).shape)
    guard let columns = a.last, !b.isEmpty else { throw InferenceStop("multiplies the shapes \(a) and \(b)") }
    let (isRow, isColumn) = (a.count == 1, b.count == 1)
    if isRow { a.insert(1, at: 0) }
    if isColumn { b.append(1) }
    guard columns == b[b.count - 2] else { throw InferenceStop("multiplies the shapes \(a) and \(b)") }
    var shape = try OperatorRules.broadcast([Array(a.dropLast(2)), Array(b.dropLast(2))])
    if !isRow { shape.append(a[a.count - 2]) }
    if !isColumn { shape.append(b[b.count - 1]) }
    return try ModelValue(shape)
  }
}
