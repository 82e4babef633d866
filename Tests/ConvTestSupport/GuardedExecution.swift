import ConvCore

/// A plan wrote behind the workspace that it asked for.
public struct WorkspaceOverrun: Error, CustomStringConvertible {
  public let operation: ConvOperation
  /// First wrong byte, counted from the workspace's end.
  public let offset: Int
  public var description: String { "\(operation): byte \(offset) behind the workspace was written" }
}

extension ConvPlan {
  /// Executes with a workspace of exactly the size that the plan names, full of 0xA5, and looks at the bytes behind it.
  ///
  /// - Throws: `WorkspaceOverrun`; what the plan throws.
  public func executeGuarded(_ operands: ConvOperands, pool: WorkerPool = .shared) throws {
    let (size, guardBytes) = (workspaceBytes, 256)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size + guardBytes, alignment: 64)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0xA5)
    try execute(
      operands, workspace: UnsafeMutableRawBufferPointer(rebasing: memory[..<size]), pool: pool, phases: nil)
    if let wrong = memory[size...].firstIndex(where: { $0 != 0xA5 }) {
      throw WorkspaceOverrun(operation: operation, offset: wrong - size)
    }
  }
}
