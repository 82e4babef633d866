import ConvCore

/// The windows of convolutions and poolings along one axis.
struct WindowAxis {
  var taps: Int, stride: Int, dilation: Int, before: Int, after: Int

  /// Elements that a window covers.
  var reach: Int { (taps - 1) * dilation + 1 }

  /// Windows that fit into `size` elements and the padding.
  ///
  /// - Parameter roundsUp: counts a last window that is not whole, if it begins before the padding behind.
  func outputs(_ size: Int, roundsUp: Bool = false) throws -> Int {
    let room = size + before + after - reach
    guard room >= 0 else {
      throw InferenceStop(
        "has windows of \(reach) in \(size) elements with a padding of \(before) and \(after)")
    }
    var count = (roundsUp ? room + stride - 1 : room) / stride + 1
    if roundsUp && (count - 1) * stride >= size + before { count -= 1 }
    return count
  }
}

extension ModelNode {
  /// The windows of `Conv`, `ConvTranspose` and poolings, by axis.
  ///
  /// - Parameters:
  ///   - sizes: the input's spatial sizes.
  ///   - kernel: the filter's, where it is known from the weights.
  func windows(_ sizes: [Int], kernel: [Int]? = nil, transposed: Bool = false) throws -> [WindowAxis] {
    let count = sizes.count
    func list(_ name: String, _ standard: Int, _ least: Int, count: Int) throws -> [Int] {
      guard let values = ints(name), !values.isEmpty else { return Array(repeating: standard, count: count) }
      guard values.count == count else {
        throw InferenceStop("has \(values.count) numbers in \(name), \(count) are needed")
      }
      for value in values where !(least...ModelValue.largestSize).contains(value) {
        throw InferenceStop("has \(value) in \(name), \(least) to \(ModelValue.largestSize) are possible")
      }
      return values
    }
    let given = ints("kernel_shape").flatMap { $0.isEmpty ? nil : $0 }
    guard let taps = given == nil ? kernel : try list("kernel_shape", 1, 1, count: count) else {
      throw InferenceStop("has no kernel_shape")
    }
    if let kernel, kernel != taps {
      throw InferenceStop("has kernel_shape \(taps), its weights have \(kernel)")
    }
    let strides = try list("strides", 1, 1, count: count)
    let dilations = try list("dilations", 1, 1, count: count)
    let pads = try list("pads", 0, 0, count: 2 * count)
    let automatic = string("auto_pad") ?? "NOTSET"
    return try (0..<count).map { axis in
      var window = WindowAxis(
        taps: taps[axis], stride: strides[axis], dilation: dilations[axis], before: pads[axis],
        after: pads[count + axis])
      guard window.taps > 0 else { throw InferenceStop("has a filter of no taps") }
      guard
        (window.taps - 1).multipliedReportingOverflow(by: window.dilation).partialValue
          <= ModelValue.largestSize
      else { throw InferenceStop("has windows of \(window.taps) taps with dilation \(window.dilation)") }
      switch automatic {
      case "NOTSET", "": break
      case "VALID": (window.before, window.after) = (0, 0)
      case "SAME_UPPER", "SAME_LOWER":
        // Of a transposed convolution the padding follows from the output's size, see there.
        if transposed { break }
        let outputs = (sizes[axis] + window.stride - 1) / window.stride
        window.setPadding(
          total: max(0, (outputs - 1) * window.stride + window.reach - sizes[axis]),
          largerFirst: automatic == "SAME_LOWER")
      default: throw InferenceStop("has auto_pad \(Excerpt.of(automatic)), which is not known")
      }
      return window
    }
  }

  /// Spatial sizes of an input [N, C, …] of one to three spatial axes.
  func spatialSizes(_ value: ModelValue) throws -> [Int] {
    guard (3...5).contains(value.shape.count) else {
      throw InferenceStop("has an input of the shape \(value.shape), one to three spatial axes are possible")
    }
    return Array(value.shape[2...])
  }

  /// Pooling over windows.
  func pooling() throws -> [ModelValue] {
    let value = try input(0)
    let sizes = try spatialSizes(value)
    let windows = try windows(sizes)
    let roundsUp = int("ceil_mode", 0) != 0
    let isSame = string("auto_pad")?.hasPrefix("SAME") ?? false
    let outputs = try zip(windows, sizes).map { window, size in
      isSame ? (size + window.stride - 1) / window.stride : try window.outputs(size, roundsUp: roundsUp)
    }
    let result = try ModelValue(Array(value.shape[..<2]) + outputs)
    return [result, result]
  }

  /// Pooling over the whole image.
  func globalPooling() throws -> [ModelValue] {
    let shape = try input(0).shape
    guard shape.count >= 2 else { throw InferenceStop("has an input of the shape \(shape)") }
    return [try ModelValue(Array(shape[..<2]) + Array(repeating: 1, count: shape.count - 2))]
  }

  /// The problem of a `Conv`.
  func convolution() throws -> ConvProblem {
    let (value, filter) = (try input(0), try input(1))
    let sizes = try spatialSizes(value)
    guard filter.shape.count == value.shape.count else {
      throw InferenceStop(
        "has an input of the shape \(value.shape) and a filter of the shape \(filter.shape)")
    }
    let groups = int("group", 1)
    let windows = try windows(sizes, kernel: Array(filter.shape[2...]))
    guard groups > 0, groups <= ModelValue.largestSize, filter.shape[1] * groups == value.shape[1] else {
      throw InferenceStop(
        "has \(value.shape[1]) input channels, a filter of the shape \(filter.shape) and \(groups) groups")
    }
    return try Self.problem(
      n: value.shape[0], c: value.shape[1], k: filter.shape[0], groups: groups, sizes: sizes, windows: windows
    )
  }

  /// The problem whose backward-data pass a `ConvTranspose` is: its input is our output.
  func transposedConvolution() throws -> ConvProblem {
    let (value, filter) = (try input(0), try input(1))
    let sizes = try spatialSizes(value)
    guard filter.shape.count == value.shape.count else {
      throw InferenceStop(
        "has an input of the shape \(value.shape) and a filter of the shape \(filter.shape)")
    }
    let groups = int("group", 1)
    guard groups > 0, groups <= ModelValue.largestSize, filter.shape[0] == value.shape[1] else {
      throw InferenceStop(
        "has \(value.shape[1]) input channels, a filter of the shape \(filter.shape) and \(groups) groups")
    }
    var windows = try windows(sizes, kernel: Array(filter.shape[2...]), transposed: true)
    let extra =
      ints("output_padding").flatMap { $0.isEmpty ? nil : $0 } ?? Array(repeating: 0, count: sizes.count)
    // Either the spatial sizes only, or all of them.
    var wanted = ints("output_shape").map { Array($0.suffix(sizes.count)) }
    if wanted?.isEmpty == true { wanted = nil }
    guard extra.count == sizes.count, wanted == nil || wanted!.count == sizes.count,
      (extra + (wanted ?? [])).allSatisfy({ (0...ModelValue.largestSize).contains($0) })
    else {
      throw InferenceStop(
        "has output_padding \(Excerpt.of(extra)) and output_shape \(Excerpt.of(wanted ?? []))")
    }
    let automatic = string("auto_pad") ?? "NOTSET"
    if automatic.hasPrefix("SAME") && wanted == nil { wanted = zip(sizes, windows).map { $0 * $1.stride } }
    let outputs = try sizes.indices.map { axis in
      guard sizes[axis] > 0 else { throw InferenceStop("has an input of the shape \(value.shape)") }
      let whole = windows[axis].stride * (sizes[axis] - 1) + extra[axis] + windows[axis].reach
      if let wanted {
        windows[axis].setPadding(total: max(0, whole - wanted[axis]), largerFirst: automatic != "SAME_UPPER")
        return wanted[axis]
      }
      return whole - windows[axis].before - windows[axis].after
    }
    let problem = try Self.problem(
      n: value.shape[0], c: filter.shape[1] * groups, k: value.shape[1], groups: groups, sizes: outputs,
      windows: windows)
    guard problem.axesInUse.map({ problem.output[$0] }) == sizes else {
      throw InferenceStop("has an output of \(outputs), which no convolution takes to \(sizes)")
    }
    return problem
  }

  private static func problem(
    n: Int, c: Int, k: Int, groups: Int, sizes: [Int], windows: [WindowAxis]
  ) throws -> ConvProblem {
    var input = Extent(w: 1), filter = Extent(w: 1), stride = Extent(w: 1), dilation = Extent(w: 1)
    var before = Extent(d: 0, h: 0, w: 0), after = Extent(d: 0, h: 0, w: 0)
    for (index, window) in windows.enumerated() {
      let axis = 3 - windows.count + index
      input[axis] = sizes[index]
      filter[axis] = window.taps
      stride[axis] = window.stride
      dilation[axis] = window.dilation
      before[axis] = window.before
      after[axis] = window.after
    }
    do {
      return try ConvProblem(
        spatialRank: windows.count, n: n, c: c, k: k, groups: groups, input: input, filter: filter,
        stride: stride, padding: Padding(before: before, after: after), dilation: dilation)
    } catch ConvError.invalidProblem(let reason) {
      throw InferenceStop("is no valid convolution: \(reason)")
    }
  }
}

extension WindowAxis {
  /// Halves of a padding; the odd one goes behind unless `largerFirst`.
  mutating func setPadding(total: Int, largerFirst: Bool) {
    before = largerFirst ? total - total / 2 : total / 2
    after = total - before
  }
}
