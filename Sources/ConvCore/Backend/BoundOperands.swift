/// Operands with all three tensors present, as engines want them.
public struct BoundOperands {
  /// x or dx.
  public var input: UnsafeMutableRawPointer
  /// w or dw. With a prepared filter: its first buffer, in the plan's own form.
  public var filter: UnsafeMutableRawPointer
  /// y or dy.
  public var output: UnsafeMutableRawPointer
}

extension ConvOperands {
  /// The tensors of `operation`, with a prepared filter in the filter's place where there is one.
  ///
  /// - Parameter signature: the plan's, which a prepared filter must carry.
  /// - Throws: `ConvError.operand` for what is missing, `.stalePreparedFilter` for another plan's filter.
  public func bound(
    for operation: ConvOperation, signature: @autoclosure () -> String
  ) throws -> BoundOperands {
    var filter = self.filter
    if let preparedFilter {
      if operation.pass == .backwardFilter {
        throw ConvError.operand("backward-filter reads no filter, a prepared one was given")
      }
      let signature = signature()
      guard preparedFilter.signature == signature else {
        throw ConvError.stalePreparedFilter(
          reason: "it was prepared by '\(preparedFilter.signature)', the plan is '\(signature)'")
      }
      filter = preparedFilter.buffers.first?.baseAddress
    }
    guard let input else { throw ConvError.operand("no input was given for \(operation)") }
    guard let filter else { throw ConvError.operand("no filter was given for \(operation)") }
    guard let output else { throw ConvError.operand("no output was given for \(operation)") }
    return BoundOperands(input: input, filter: filter, output: output)
  }
}

extension PreparedFilter {
  /// A plain copy of the filter: "prepared" for engines that read it as it is.
  ///
  /// - Throws: `ConvError.operand` for backwardFilter plans.
  public static func copy(of filter: UnsafeRawPointer, for plan: some ConvPlan) throws -> PreparedFilter {
    let operation = plan.operation
    if operation.pass == .backwardFilter {
      throw ConvError.operand("backward-filter reads no filter: there is nothing to prepare")
    }
    let byteCount = operation.problem.filterShape.reduce(1, *) * operation.elementType.byteCount
    let buffer = try PooledBuffer(byteCount: byteCount)
    buffer.baseAddress.copyMemory(from: filter, byteCount: byteCount)
    return PreparedFilter(signature: plan.signature, buffers: [buffer])
  }
}
