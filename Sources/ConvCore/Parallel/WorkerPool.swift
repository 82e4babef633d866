public final class WorkerPool: @unchecked Sendable {
  public static let shared = WorkerPool(threads: 2)
  public let threads: Int
  public init(threads: Int) { self.threads = threads }
  public func parallelFor(_ count: Int, _ body: (Int) -> Void) { for i in 0..<count { body(i) } }
}
