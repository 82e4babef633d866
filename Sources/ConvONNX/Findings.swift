import ConvCore

/// What the inference came upon, in its order: convolutions, and why others are none of the layers.
struct Findings {
  private enum Entry {
    /// `elements`: what the model computes it in, where that is not float32.
    case layer(ConvProblem, isTransposed: Bool, name: String, op: String, elements: String?)
    /// A convolution whose shape is not known.
    case stopped(title: String, InferenceStop)
    /// An operator that is, or seems to be, a convolution of another kind.
    case foreign(op: String, title: String)
    /// Convolutions in graphs of a node that the inference does not go through.
    case unfollowed(title: String, count: Int)
    /// Convolutions in graphs that never run.
    case idle(title: String, count: Int)
    /// The layers of both branches of a node, of which one runs.
    case either(title: String, count: Int)
    /// The layers of a graph that runs as often as the data say.
    case repeated(title: String, count: Int)
  }

  /// A point to which what follows can be taken back.
  struct Mark {
    fileprivate var entries = 0
    /// Layers, and those of them that lie in branches and in loops.
    fileprivate(set) var layers = 0
    fileprivate var inBranches = 0, inLoops = 0
  }

  private var entries: [Entry] = []
  /// The present end.
  private(set) var mark = Mark()

  mutating func rewind(to mark: Mark) {
    entries.removeSubrange(mark.entries...)
    self.mark = mark
  }

  private mutating func add(_ entry: Entry) {
    entries.append(entry)
    mark.entries += 1
  }

  // MARK: Entries

  mutating func add(_ problem: ConvProblem, isTransposed: Bool, node: ModelNode, elements: String?) {
    add(.layer(problem, isTransposed: isTransposed, name: node.name, op: node.op, elements: elements))
    mark.layers += 1
  }
  mutating func addStop(_ stop: InferenceStop, at node: ModelNode) {
    add(.stopped(title: node.title, stop))
  }
  mutating func addForeign(_ node: ModelNode) { add(.foreign(op: node.op, title: node.title)) }
  mutating func addUnfollowed(_ count: Int, in node: ModelNode) {
    if count > 0 { add(.unfollowed(title: node.title, count: count)) }
  }
  mutating func addIdle(_ count: Int, in node: ModelNode) {
    if count > 0 { add(.idle(title: node.title, count: count)) }
  }
  /// The layers since `start`, but for those in branches further inside.
  mutating func addEither(since start: Mark, in node: ModelNode) {
    let count = (mark.layers - start.layers) - (mark.inBranches - start.inBranches)
    if count > 0 { add(.either(title: node.title, count: count)) }
    mark.inBranches += count
  }
  /// The layers since `start`, but for those in loops further inside.
  mutating func addRepeated(since start: Mark, in node: ModelNode) {
    let count = (mark.layers - start.layers) - (mark.inLoops - start.inLoops)
    if count > 0 { add(.repeated(title: node.title, count: count)) }
    mark.inLoops += count
  }

  // MARK: Results

  /// The layers, equal ones merged, in the order of their first node.
  func layers() -> [ConvolutionModel.Layer] {
    var layers: [ConvolutionModel.Layer] = []
    var indices: [ConvolutionModel.Layer: Int] = [:]
    for case .layer(let problem, let isTransposed, let name, _, _) in entries {
      let layer = ConvolutionModel.Layer(problem: problem, isTransposed: isTransposed, nodes: [])
      let index = indices[layer] ?? layers.count
      if index == layers.count {
        indices[layer] = index
        layers.append(layer)
      }
      layers[index].nodes.append(name)
    }
    return layers
  }

  /// Whether a layer has images of other sizes than it has in `other`, which is the same model at another batch.
  func hasOtherImages(than other: Findings) -> Bool {
    zip(entries, other.entries).contains { pair in
      guard case .layer(let one, _, let name, _, _) = pair.0, case .layer(let two, _, name, _, _) = pair.1
      else { return false }
      return one.input != two.input
    }
  }

  /// What has to be said beside the layers.
  func notes() -> [String] {
    var (stops, foreign, elements) = (Tally(), Tally(), Tally())
    var (unfollowed, idle, either, repeated) = (Tally(), Tally(), Tally(), Tally())
    for entry in entries {
      switch entry {
      case .layer(_, _, let name, let op, let text?):
        elements.add(1, "node '\(Excerpt.of(name))' (\(op))", to: text)
      case .layer: break
      case .stopped(let title, let stop):
        let reason = stop.located(at: title).reason
        stops.add(1, stop.isLocated ? "\(title) depends on \(reason)" : reason)
      case .foreign(let op, let title): foreign.add(1, title, to: op)
      case .unfollowed(let title, let count): unfollowed.add(count, title)
      case .idle(let title, let count): idle.add(count, title)
      case .either(let title, let count): either.add(count, title)
      case .repeated(let title, let count): repeated.add(count, title)
      }
    }
    return stops.notes { _, count, first in "\(count) convolutions are left out; the first: \(first)" }
      + foreign.notes { op, count, first in
        "\(count) \(Excerpt.of(op)) left out, \(ConvolutionOperator.reason(op)); the first: \(first)"
      }
      + unfollowed.notes { _, count, first in
        "\(count) convolutions are left out, they lie in graphs that are not followed; the first in \(first)"
      }
      + idle.notes { _, count, first in
        "\(count) convolutions are left out, they lie in graphs that never run; the first in \(first)"
      }
      + either.notes { _, count, first in
        "\(count) convolutions lie in branches of which only one runs, as the data say, and both are listed; "
          + "the first in \(first)"
      }
      + repeated.notes { _, count, first in
        "\(count) convolutions lie in loops and are listed once, however often those run; the first in \(first)"
      }
      + elements.notes { text, count, first in
        "\(count) convolutions are listed as those of float32, the model computes them in \(text); "
          + "the first: \(first)"
      }
  }
}

/// Counts by names, with the first of each; names beyond the eighth are counted together.
private struct Tally {
  private var order: [String] = []
  private var groups: [String: (count: Int, first: String)] = [:]
  private static let rest = "more kinds"

  mutating func add(_ count: Int, _ first: @autoclosure () -> String, to name: String = "") {
    let isKnown = groups[name] != nil
    let name = isKnown || order.count < Excerpt.mostElements ? name : Self.rest
    if groups[name] == nil {
      order.append(name)
      groups[name] = (0, first())
    }
    groups[name]!.count += count
  }

  func notes(_ text: (_ name: String, _ count: Int, _ first: String) -> String) -> [String] {
    order.map { text($0, groups[$0]!.count, groups[$0]!.first) }
  }
}
