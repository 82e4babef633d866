#if OneDNN
  internal import CDNNL
  import ConvCore

  /// Generated code for one convolution or one reorder. oneDNN lets several threads execute it at once, each with its own
  /// memory.
  final class OneDNNPrimitive: @unchecked Sendable {
    fileprivate let handle: dnnl_primitive_t
    let scratchpadBytes: Int

    deinit { dnnl_primitive_destroy(handle) }

    /// A convolution.
    init(_ chunk: OneDNNChunk) throws {
      handle = try OneDNNPrimitive.make(chunk.descriptor, "generate \(chunk.implementation)")
      scratchpadBytes = chunk.scratchpadBytes
    }

    /// A copy from one layout into another one; `adds` to what is there.
    init(from source: dnnl_memory_desc_t, to target: dnnl_memory_desc_t, adds: Bool) throws {
      var attributes: dnnl_primitive_attr_t?
      try OneDNNError.check(dnnl_primitive_attr_create(&attributes), "create attributes")
      defer { dnnl_primitive_attr_destroy(attributes) }
      try OneDNNError.check(
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
        "take the caller's scratchpad")
      if adds {
        var operations: dnnl_post_ops_t?
        try OneDNNError.check(dnnl_post_ops_create(&operations), "create post-ops")
        defer { dnnl_post_ops_destroy(operations) }
        try OneDNNError.check(dnnl_post_ops_append_sum(operations, 1), "append a sum")
        try OneDNNError.check(dnnl_primitive_attr_set_post_ops(attributes, operations), "set post-ops")
      }
      var (source, target) = (source, target)
      let engine = try OneDNNLibrary.engine()
      var made: dnnl_primitive_desc_t?
      try OneDNNError.check(
        dnnl_reorder_primitive_desc_create(&made, &source, engine, &target, engine, attributes),
        "plan a reorder")
      guard let made else {
        throw OneDNNError(what: "plan a reorder", status: dnnl_runtime_error.rawValue)
      }
      defer { dnnl_primitive_desc_destroy(made) }
      handle = try OneDNNPrimitive.make(made, "generate a reorder")
      scratchpadBytes =
        dnnl_primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0).map { bytes(of: $0.pointee) } ?? 0
    }

    private static func make(_ descriptor: dnnl_primitive_desc_t, _ what: String) throws -> dnnl_primitive_t {
      var primitive: dnnl_primitive_t?
      try OneDNNError.check(dnnl_primitive_create(&primitive, descriptor), what)
      guard let primitive else { throw OneDNNError(what: what, status: dnnl_runtime_error.rawValue) }
      return primitive
    }
  }

  /// One caller's stream of primitives.
  final class OneDNNCall {
    typealias Placed = (layout: dnnl_memory_desc_t, address: UnsafeMutableRawPointer)
    private let engine: dnnl_engine_t
    private let stream: dnnl_stream_t

    init() throws {
      engine = try OneDNNLibrary.engine()
      var stream: dnnl_stream_t?
      try OneDNNError.check(
        dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue)), "create a stream")
      guard let stream else {
        throw OneDNNError(what: "create a stream", status: dnnl_runtime_error.rawValue)
      }
      self.stream = stream
    }

    deinit { dnnl_stream_destroy(stream) }

    /// Copies from one layout to the other.
    func reorder(
      _ primitive: OneDNNPrimitive, _ source: Placed, _ target: Placed, _ scratchpad: UnsafeMutableRawPointer
    ) throws {
      try execute(
        primitive, [(DNNL_ARG_FROM, source), (DNNL_ARG_TO, target)], scratchpad,
        scratchpadBytes: primitive.scratchpadBytes)
    }

    /// One pass on tensors in oneDNN's layouts.
    func convolve(
      _ primitive: OneDNNPrimitive, _ pass: ConvPass, _ layouts: OneDNNChunk.Layouts,
      _ tensors: (
        input: UnsafeMutableRawPointer, filter: UnsafeMutableRawPointer, output: UnsafeMutableRawPointer
      ), bias: UnsafeMutableRawPointer?, channels: Int, _ scratchpad: UnsafeMutableRawPointer,
      scratchpadBytes: Int
    ) throws {
      let places =
        switch pass {
        case .forward: (DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS)
        case .backwardData: (DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_BIAS)
        case .backwardFilter:
          (DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS)
        }
      var arguments: [(Int32, Placed)] = [
        (places.0, (layouts.input, tensors.input)), (places.1, (layouts.filter, tensors.filter)),
        (places.2, (layouts.output, tensors.output)),
      ]
      if let bias { arguments.append((places.3, (try OneDNNCall.vector(channels), bias))) }
      try execute(primitive, arguments, scratchpad, scratchpadBytes: scratchpadBytes)
    }

    private static func vector(_ count: Int) throws -> dnnl_memory_desc_t { try bytesLayout(count, dnnl_f32) }

    private static func bytesLayout(_ count: Int, _ type: dnnl_data_type_t) throws -> dnnl_memory_desc_t {
      var layout = dnnl_memory_desc_t()
      try OneDNNError.check(
        dnnl_memory_desc_init_by_strides(&layout, 1, [Int64(count)], type, [1]), "describe \(count) values")
      return layout
    }

    private func execute(
      _ primitive: OneDNNPrimitive, _ arguments: [(Int32, Placed)], _ scratchpad: UnsafeMutableRawPointer,
      scratchpadBytes: Int
    ) throws {
      var arguments = arguments
      if scratchpadBytes > 0 {
        arguments.append(
          (DNNL_ARG_SCRATCHPAD, (try OneDNNCall.bytesLayout(scratchpadBytes, dnnl_u8), scratchpad)))
      }
      var memories: [dnnl_exec_arg_t] = []
      defer { for memory in memories { dnnl_memory_destroy(memory.memory) } }
      for (place, placed) in arguments {
        var layout = placed.layout
        var memory: dnnl_memory_t?
        try OneDNNError.check(
          dnnl_memory_create(&memory, &layout, engine, placed.address), "describe memory")
        memories.append(dnnl_exec_arg_t(arg: place, memory: memory))
      }
      try OneDNNError.check(
        dnnl_primitive_execute(primitive.handle, stream, Int32(memories.count), memories), "execute")
      try OneDNNError.check(dnnl_stream_wait(stream), "finish")
    }
  }
#endif
