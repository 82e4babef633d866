import ConvCore

/// How often each class was taken for which: rows are the actual classes, columns the predicted ones.
public struct ConfusionMatrix: Hashable, Sendable {
  /// The classes' names.
  public let classNames: [String]
  /// counts[actual][predicted].
  public private(set) var counts: [[Int]]

  /// An empty matrix of at least one class.
  public init(classNames: [String]) {
    precondition(!classNames.isEmpty, "a confusion matrix needs a class")
    self.classNames = classNames
    counts = [[Int]](repeating: [Int](repeating: 0, count: classNames.count), count: classNames.count)
  }

  /// Counts one prediction.
  ///
  /// - Precondition: both are classes of the matrix.
  public mutating func add(actual: Int, predicted: Int) { counts[actual][predicted] += 1 }

  /// Counts the predictions of a batch: the largest logit's class, the first where several are equal.
  ///
  /// - Parameter logits: `float32` or `float64` [N, classes].
  /// - Parameter labels: `int64` [N].
  /// - Throws: `ConvError` where the shapes, element types or labels do not fit the matrix.
  public mutating func add(logits: Tensor, labels: Tensor) throws {
    let classes = classNames.count
    guard labels.elementType == .int64 else {
      throw ConvError.elementTypeMismatch(what: "the labels", expected: .int64, found: labels.elementType)
    }
    guard logits.shape == [labels.count, classes] else {
      throw ConvError.shapeMismatch(
        what: "the logits", expected: [labels.count, classes], found: logits.shape)
    }
    let scores = try logits.converted(to: .float64).values(as: Double.self)
    for (image, label) in labels.values(as: Int64.self).enumerated() {
      guard (0..<Int64(classes)).contains(label) else {
        throw ConvError.operand("label \(image) is \(label), the classes are 0 to \(classes - 1)")
      }
      var best = 0
      for k in 1..<classes where scores[image * classes + k] > scores[image * classes + best] { best = k }
      add(actual: Int(label), predicted: best)
    }
  }

  /// The number of predictions.
  public var total: Int { counts.reduce(0) { $0 + $1.reduce(0, +) } }
  /// Right predictions over all; 0 where there are none.
  public var accuracy: Double {
    ratio(counts.indices.reduce(0) { $0 + counts[$1][$1] }, total)
  }
  /// Right predictions of a class over all predictions of it; 0 where it was never predicted.
  public func precision(of k: Int) -> Double { ratio(counts[k][k], counts.reduce(0) { $0 + $1[k] }) }
  /// Right predictions of a class over its members; 0 where it has none.
  public func recall(of k: Int) -> Double { ratio(counts[k][k], counts[k].reduce(0, +)) }
  /// 2 · precision · recall / (precision + recall); 0 where both are 0.
  public func f1(of k: Int) -> Double {
    // = 2·TP / (members + predictions)
    ratio(2 * counts[k][k], counts[k].reduce(0, +) + counts.reduce(0) { $0 + $1[k] })
  }
  /// The mean of `f1` over the classes.
  public var macroF1: Double { classNames.indices.reduce(0) { $0 + f1(of: $1) } / Double(classNames.count) }

  private func ratio(_ part: Int, _ whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
}

extension ConfusionMatrix: CustomStringConvertible {
  /// A table: one row per actual class with its counts, precision, recall and F1.
  public var description: String {
    let nameWidth = (classNames.map(\.count) + [6]).max()!
    let width = max(4, (counts.joined().map { String($0).count }.max() ?? 1) + 1)
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    func left(_ text: String) -> String { text + String(repeating: " ", count: nameWidth - text.count) }
    var lines = [
      left("actual") + classNames.indices.map { right("\($0)", width) }.joined()
        + right("precision", 11) + right("recall", 8) + right("F1", 8)
    ]
    for (k, name) in classNames.enumerated() {
      lines.append(
        left(name) + counts[k].map { right("\($0)", width) }.joined()
          + right(fixed(precision(of: k)), 11) + right(fixed(recall(of: k)), 8) + right(fixed(f1(of: k)), 8))
    }
    return lines.joined(separator: "\n")
  }

  /// Three digits after the point.
  private func fixed(_ value: Double) -> String {
    let thousandths = Int((value * 1000).rounded())
    let fraction = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
  }
}
