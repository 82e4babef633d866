#if OneDNN
  internal import CDNNL
  import ConvCore

  /// oneDNN's description of a convolution of some images: the layouts that it wants and the memory that it needs.
  final class OneDNNChunk: @unchecked Sendable {
    /// Layouts of the three tensors, by their place in the problem whatever the pass.
    struct Layouts {
      var input, filter, output: dnnl_memory_desc_t
    }

    /// Images of one call.
    let images: Int
    /// Threads that the description was made for: fewer than asked for where each would need more memory than there is.
    let threads: Int
    /// The operation's own formats.
    let user: Layouts
    /// What oneDNN computes on.
    let own: Layouts
    /// The primitive descriptor.
    let descriptor: dnnl_primitive_desc_t
    /// Name of the kernel that oneDNN chose, as in `jit:avx2`.
    let implementation: String
    /// Whether the kernel is one of Winograd's.
    let isWinograd: Bool
    let scratchpadBytes: Int

    deinit { dnnl_primitive_desc_destroy(descriptor) }

    /// Elements of a tensor: oneDNN's kernels keep byte offsets inside one in 32 bits.
    static let mostElements = Int(Int32.max) / 4

    /// The largest equal pieces of the batch whose images, reordered, and scratchpad fit in the workspace limit; where one
    /// image does not fit, fewer threads.
    ///
    /// - Throws: `OneDNNRefusal` with a reason for users, `OneDNNError`.
    static func choose(
      _ operation: ConvOperation, _ options: PlanOptions, mostElements: Int = mostElements
    ) throws -> OneDNNChunk {
      if let contradiction = operation.contradiction { throw OneDNNRefusal(reason: contradiction) }
      guard operation.elementType == .float32 else {
        throw OneDNNRefusal(reason: "oneDNN convolves in float32, not \(operation.elementType.rawValue)")
      }
      if operation.epilogue.maxPool2x2 { throw OneDNNRefusal(reason: "onednn does not pool") }
      if operation.epilogue.accumulate { throw OneDNNRefusal(reason: "onednn overwrites its result") }
      let algorithm = try OneDNNAlgorithm(variant: options.variant)
      let batch = operation.problem.n
      let largest = try imagesThatCount(operation, mostElements)
      var (images, threads) = (largestDivisor(of: batch, atMost: largest), max(1, options.threads))
      while true {
        let chunk = try OneDNNLibrary.planning(threads: threads) {
          try OneDNNChunk(operation, images, algorithm, options.filterState, threads: threads)
        }
        let bytes = chunk.imageBytes + chunk.scratchpadBytes
        if bytes <= options.workspaceLimit { return chunk }
        if images > 1 {
          let fitting = Int(Double(images) * (Double(options.workspaceLimit) / Double(bytes)))
          images = largestDivisor(of: batch, atMost: min(max(1, fitting), images - 1))
        } else if threads > 1 {
          // Scratchpads hold a buffer for each thread.
          threads /= 2
        } else {
          throw OneDNNRefusal(
            reason: "oneDNN reorders one image into \(chunk.imageBytes) bytes and needs a scratchpad of "
              + "\(chunk.scratchpadBytes); the workspace limit is \(options.workspaceLimit)")
        }
      }
    }

    private static func largestDivisor(of count: Int, atMost limit: Int) -> Int {
      // Divisors come in pairs, of which one is at most the root.
      var (largest, divisor) = (1, 1)
      while divisor * divisor <= count {
        if count % divisor == 0 {
          for found in [divisor, count / divisor] where found <= limit { largest = max(largest, found) }
        }
        divisor += 1
      }
      return largest
    }

    private static func imagesThatCount(_ operation: ConvOperation, _ limit: Int) throws -> Int {
      let problem = operation.problem
      let image = max(problem.c * problem.input.count, problem.k * problem.output.count)
      let filter = problem.k * problem.cPerGroup * problem.filter.count
      guard image <= limit, filter <= limit else {
        throw OneDNNRefusal(
          reason: "an image of \(image) elements or a filter of \(filter) is more than oneDNN's offsets can "
            + "tell (\(limit))")
      }
      return min(problem.n, limit / image)
    }

    /// - Throws: `OneDNNRefusal` where oneDNN has no such convolution.
    private init(
      _ operation: ConvOperation, _ images: Int, _ algorithm: OneDNNAlgorithm, _ state: FilterState,
      threads: Int
    ) throws {
      self.images = images
      self.threads = threads
      let shapes = OneDNNShapes(operation, images: images)
      user = try shapes.layouts(
        input: operation.inputFormat, filter: operation.filterFormat, output: operation.outputFormat)
      var attempts: [Layouts] = [try shapes.layouts(input: nil, filter: nil, output: nil)]
      if operation.inputFormat == .nhwc && operation.outputFormat == .nhwc {
        // Channels-last images need no reordering where a fast kernel reads them as they are.
        attempts.insert(try shapes.layouts(input: .nhwc, filter: nil, output: .nhwc), at: 0)
      }
      var found: (descriptor: dnnl_primitive_desc_t, implementation: String)?
      for layouts in attempts where found.map({ !OneDNNChunk.isFast($0.implementation) }) ?? true {
        if let old = found { dnnl_primitive_desc_destroy(old.descriptor) }
        found = try OneDNNChunk.make(operation, shapes, layouts, algorithm, state)
      }
      guard let found else {
        let winograd =
          OneDNNLibrary.hasAVX512
          ? "oneDNN's Winograd is for dense 3×3 filters with stride 1 in one group only"
          : "oneDNN's Winograd needs AVX-512, which this CPU lacks or ONEDNN_MAX_CPU_ISA forbids"
        throw OneDNNRefusal(
          reason: algorithm == .winograd ? winograd : "oneDNN has no kernel for this convolution")
      }
      descriptor = found.descriptor
      implementation = found.implementation
      isWinograd = found.implementation.contains("wino")
      let (input, filter, output) = OneDNNChunk.roles(operation.pass)
      func query(_ what: dnnl_query_t) -> dnnl_memory_desc_t? {
        dnnl_primitive_desc_query_md(found.descriptor, what, 0)?.pointee
      }
      guard let input = query(input), let filter = query(filter), let output = query(output) else {
        // The stored handle is released by deinit: all members are set.
        own = user
        scratchpadBytes = 0
        throw OneDNNError(what: "tell its layouts", status: dnnl_runtime_error.rawValue)
      }
      own = Layouts(input: input, filter: filter, output: output)
      scratchpadBytes = query(dnnl_query_scratchpad_md).map { bytes(of: $0) } ?? 0
    }

    private static func isFast(_ implementation: String) -> Bool {
      implementation.hasPrefix("jit") || implementation.hasPrefix("brg")
    }

    private static func roles(_ pass: ConvPass) -> (dnnl_query_t, dnnl_query_t, dnnl_query_t) {
      switch pass {
      case .forward: (dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md)
      case .backwardData: (dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md)
      case .backwardFilter: (dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md)
      }
    }

    /// Nil where oneDNN has no kernel.
    private static func make(
      _ operation: ConvOperation, _ shapes: OneDNNShapes, _ layouts: Layouts, _ algorithm: OneDNNAlgorithm,
      _ state: FilterState
    ) throws -> (dnnl_primitive_desc_t, String)? {
      var (input, filter, output) = (layouts.input, layouts.filter, layouts.output)
      var bias = try shapes.bias()
      let kind = algorithm.kind
      var convolution = dnnl_convolution_desc_t()
      let hasBias = operation.epilogue.bias || operation.epilogue.biasGradient
      let status = withUnsafePointer(to: &bias) { bias in
        switch operation.pass {
        case .forward:
          dnnl_dilated_convolution_forward_desc_init(
            &convolution, state == .prepared ? dnnl_forward_inference : dnnl_forward_training, kind, &input,
            &filter, hasBias ? bias : nil, &output, shapes.strides, shapes.dilations,
            shapes.before, shapes.after)
        case .backwardData:
          dnnl_dilated_convolution_backward_data_desc_init(
            &convolution, kind, &input, &filter, &output, shapes.strides, shapes.dilations, shapes.before,
            shapes.after)
        case .backwardFilter:
          dnnl_dilated_convolution_backward_weights_desc_init(
            &convolution, kind, &input, &filter, hasBias ? bias : nil, &output,
            shapes.strides, shapes.dilations, shapes.before, shapes.after)
        }
      }
      try OneDNNError.check(status, "describe \(operation)")
      var attributes: dnnl_primitive_attr_t?
      try OneDNNError.check(dnnl_primitive_attr_create(&attributes), "create attributes")
      defer { dnnl_primitive_attr_destroy(attributes) }
      try OneDNNError.check(
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
        "take the caller's scratchpad")
      var descriptor: dnnl_primitive_desc_t?
      let created = dnnl_primitive_desc_create(
        &descriptor, &convolution, attributes, try OneDNNLibrary.engine(), nil)
      if created == dnnl_unimplemented { return nil }
      try OneDNNError.check(created, "plan \(operation)")
      guard let descriptor else { return nil }
      var name: UnsafePointer<CChar>?
      let named = dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name)
      return (descriptor, named == dnnl_success ? name.map { String(cString: $0) } ?? "" : "")
    }

    /// Workspace for reordered images.
    var imageBytes: Int {
      (reordersInput ? aligned(bytes(of: own.input)) : 0)
        + (reordersOutput ? aligned(bytes(of: own.output)) : 0)
    }

    var reordersInput: Bool { !areEqual(own.input, user.input) }
    var reordersFilter: Bool { !areEqual(own.filter, user.filter) }
    var reordersOutput: Bool { !areEqual(own.output, user.output) }
  }

  /// A convolution's sizes as oneDNN counts them.
  struct OneDNNShapes {
    let input, filter, output: [Int64]
    /// Element strides of the filter in both formats, group by group where there are groups.
    private let filterStrides: [MemoryFormat: [Int64]]
    private let inputShape, outputShape: [Int]
    private let k: Int
    let strides, dilations, before, after: [Int64]

    init(_ operation: ConvOperation, images: Int) {
      let problem = operation.problem
      inputShape = [images] + problem.inputShape.dropFirst()
      outputShape = [images] + problem.outputShape.dropFirst()
      k = problem.k
      let groups = Int64(problem.groups)
      func wide(_ values: [Int]) -> [Int64] { values.map(Int64.init) }
      input = wide(inputShape)
      output = wide(outputShape)
      let filterShape = wide(problem.filterShape)
      let isGrouped = problem.groups > 1
      filter =
        isGrouped ? [groups, filterShape[0] / groups] + filterShape.dropFirst() : filterShape
      var strides: [MemoryFormat: [Int64]] = [:]
      for format in MemoryFormat.allCases {
        let plain = wide(format.strides(of: problem.filterShape))
        strides[format] = isGrouped ? [plain[0] * filterShape[0] / groups] + plain : plain
      }
      filterStrides = strides
      let axes = (3 - problem.spatialRank)..<3
      func perAxis(_ extent: Extent) -> [Int64] { axes.map { Int64(extent[$0]) } }
      self.strides = perAxis(problem.stride)
      // oneDNN counts the gaps between taps: 0 is dense.
      dilations = perAxis(problem.dilation).map { $0 - 1 }
      before = perAxis(problem.padding.before)
      after = perAxis(problem.padding.after)
    }

    /// Layouts in the formats given; nil leaves the choice to oneDNN.
    func layouts(
      input inputFormat: MemoryFormat?, filter filterFormat: MemoryFormat?, output outputFormat: MemoryFormat?
    ) throws -> OneDNNChunk.Layouts {
      func strides(_ format: MemoryFormat?, _ shape: [Int]) -> [Int64]? {
        format?.strides(of: shape).map(Int64.init)
      }
      return OneDNNChunk.Layouts(
        input: try layout(input, strides: strides(inputFormat, inputShape)),
        filter: try layout(filter, strides: filterFormat.flatMap { filterStrides[$0] }),
        output: try layout(output, strides: strides(outputFormat, outputShape)))
    }

    /// One value per output channel.
    func bias() throws -> dnnl_memory_desc_t { try layout([Int64(k)], strides: [1]) }

    private func layout(_ sizes: [Int64], strides: [Int64]?) throws -> dnnl_memory_desc_t {
      var layout = dnnl_memory_desc_t()
      let rank = Int32(sizes.count)
      let status =
        if let strides {
          dnnl_memory_desc_init_by_strides(&layout, rank, sizes, dnnl_f32, strides)
        } else {
          dnnl_memory_desc_init_by_tag(&layout, rank, sizes, dnnl_f32, dnnl_format_tag_any)
        }
      try OneDNNError.check(status, "describe a tensor of \(sizes)")
      return layout
    }
  }

  /// Bytes of a tensor in a layout.
  func bytes(of layout: dnnl_memory_desc_t) -> Int {
    withUnsafePointer(to: layout) { Int(dnnl_memory_desc_get_size($0)) }
  }

  func areEqual(_ a: dnnl_memory_desc_t, _ b: dnnl_memory_desc_t) -> Bool {
    withUnsafePointer(to: a) { a in withUnsafePointer(to: b) { b in dnnl_memory_desc_equal(a, b) != 0 } }
  }

  /// Rounded up to whole cache lines.
  func aligned(_ byteCount: Int) -> Int { (byteCount + 63) / 64 * 64 }
#endif
