/// Notes the operations that are recorded while it is current, and how long each of them takes on the way back.
public final class GraphProfile: @unchecked Sendable {
  // @unchecked: used by the task that made it current only.
  /// The innermost scope's profile.
  @TaskLocal public static var current: GraphProfile?

  /// A recorded operation.
  public struct Operation: Sendable {
    /// As in `conv2d`.
    public let name: String
    /// Of all ways back, sums of gradients included.
    public internal(set) var backward = Duration.zero
  }

  /// In the order of recording.
  public private(set) var operations: [Operation] = []
  private var places: [UInt64: Int] = [:]

  /// Empty.
  public init() {}

  func recorded(_ name: String, _ sequence: UInt64) {
    places[sequence] = operations.count
    operations.append(Operation(name: name))
  }

  /// Operations from before the profile are not counted.
  func wentBack(_ sequence: UInt64, _ duration: Duration) {
    if let place = places[sequence] { operations[place].backward += duration }
  }
}
