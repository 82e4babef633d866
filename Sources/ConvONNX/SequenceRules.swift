// Operators of recurrent layers, of detectors and of attention: what they do to shapes.

extension ModelNode {
  /// `LSTM`, `GRU`, `RNN`: all states [T, directions, N, hidden], the last ones [directions, N, hidden]; of layout 1 with N first.
  func recurrent() throws -> [ModelValue] {
    let (x, w, r) = (try input(0).shape, try input(1).shape, try input(2).shape)
    guard x.count == 3, w.count == 3, r.count == 3 else {
      throw InferenceStop("has inputs of the shapes \(x), \(w) and \(r)")
    }
    let (directions, hidden) = (w[0], r[2])
    if int("layout", 0) == 0 {
      let last = try ModelValue([directions, x[1], hidden])
      return [try ModelValue([x[0], directions, x[1], hidden]), last, last]
    }
    let last = try ModelValue([x[0], directions, hidden])
    return [try ModelValue([x[0], x[1], directions, hidden]), last, last]
  }

  /// The k largest along an axis, and where they stand.
  func topK() throws -> [ModelValue] {
    var shape = try input(0).shape
    let axis = try axis(int("axis", -1), rank: shape.count)
    let count = try has(attribute: "k") ? int("k", 0) : constants(1, "a number of elements")?.first
    guard let count, (0...shape[axis]).contains(count) else {
      throw InferenceStop("takes \(count ?? 0) of \(shape[axis]) elements")
    }
    shape[axis] = count
    let result = try ModelValue(shape)
    return [result, result]
  }

  func oneHot() throws -> ModelValue {
    var shape = try input(0).shape
    guard let depth = try constants(1, "a depth")?.first else { throw InferenceStop("has no depth") }
    shape.insert(depth, at: try axis(int("axis", -1), rank: shape.count + 1))
    return try ModelValue(shape)
  }

  func gatherND() throws -> ModelValue {
    let (data, indices) = (try input(0).shape, try input(1).shape)
    let batch = int("batch_dims", 0)
    guard let depth = indices.last, batch >= 0, batch < indices.count, depth <= data.count - batch else {
      throw InferenceStop("takes elements of the shape \(data) by indices of the shape \(indices)")
    }
    return try ModelValue(Array(indices.dropLast()) + Array(data[(batch + depth)...]))
  }

  /// Sums of products by letters; `...` is not understood.
  func einsum() throws -> ModelValue {
    let equation = (string("equation") ?? "").filter { $0 != " " }
    guard !equation.contains("."), let arrow = equation.range(of: "->") else {
      throw InferenceStop("has the equation '\(Excerpt.of(equation))', which is not understood")
    }
    let terms = equation[..<arrow.lowerBound].split(separator: ",", omittingEmptySubsequences: false)
    let shapes = try inputs.indices.map { try input($0).shape }
    guard terms.map(\.count) == shapes.map(\.count) else {
      throw InferenceStop(
        "has inputs of the shapes \(Excerpt.of(shapes)) for the equation '\(Excerpt.of(equation))'")
    }
    var sizes: [Character: Int] = [:]
    for (letter, size) in zip(terms.joined(), shapes.joined()) {
      sizes[letter] = max(size, sizes[letter] ?? 0)
    }
    return try ModelValue(
      equation[arrow.upperBound...].map { letter in
        guard let size = sizes[letter] else { throw InferenceStop("has no '\(letter)' among its inputs") }
        return size
      })
  }

  func gridSample() throws -> ModelValue {
    let (image, grid) = (try input(0).shape, try input(1).shape)
    guard image.count >= 3, grid.count == image.count else {
      throw InferenceStop("has an input of the shape \(image) and a grid of the shape \(grid)")
    }
    return try ModelValue(Array(image[..<2]) + Array(grid[1..<(grid.count - 1)]))
  }

  func roiAlign() throws -> ModelValue {
    let (image, regions) = (try input(0).shape, try input(1).shape)
    guard image.count == 4, let count = regions.first else {
      throw InferenceStop("has an input of the shape \(image) and regions of the shape \(regions)")
    }
    return try ModelValue([count, image[1], int("output_height", 1), int("output_width", 1)])
  }
}
