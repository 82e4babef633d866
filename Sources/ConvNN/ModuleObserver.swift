import ConvAutograd

/// Is told of every call of a module, in order, a call's parts between its begin and its end.
///
/// A pooling that ran as part of the convolution before it has an end only.
public protocol ModuleObserver: AnyObject, Sendable {
  /// `module` begins.
  func willCall(_ module: any Module, _ input: Variable)
  /// `module` has ended; a convolution's shape is the one before a pooling that ran with it.
  func didCall(_ module: any Module, outputShape: [Int])
}

/// Who is told, per task.
public enum ModuleObservation {
  /// The innermost scope's observer.
  @TaskLocal public static var observer: (any ModuleObserver)?
}
