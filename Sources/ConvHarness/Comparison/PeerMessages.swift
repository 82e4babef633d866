import ConvCore

/// What a peer is asked: one JSON object per line on its standard input; the answer is one line on its standard output.
///
/// | request | more members | answer |
/// |---|---|---|
/// | `hello` | | `peer`, `version`, `configurations`, and `settles`: true where `untimed` and `evict_bytes` are followed |
/// | `result` | what, `indices` | `values` at flat indices of the result in logical order (null where not finite), `count` |
/// | `measure` | what, `repetitions`, `untimed`, `evict_bytes` | `seconds` per execution, after `untimed` ones that are not timed (one in peers that do not settle); before each timed one all threads together touch `evict_bytes` of other memory |
/// | `train` | training, `repetitions`, `first` | `seconds` per step, `loss` of the last step; with `first` `losses` of all |
///
/// "training" is `network` (its name), `batch`, `image` (channels, height, width), `threads`, `seed` and `configuration`.
/// "what" is `problem`, `pass`, `threads`, `seed`, `configuration` (one of those of `hello`) and `filter_state`. Operands are uniform on
/// [−1, 1) by Philox, streams 0 (x), 1 (w) and 2 (dy) of the seed. With `first` so many steps are taken on fresh weights (parameter i by
/// stream i), and the losses before each of them are the answer (a peer that answers with one `loss` has taken one step). Whatever the peer cannot do it answers with `error`, in one sentence.
public enum PeerRequest: Sendable {
  /// Who are you?
  case hello
  /// The result at some places, for verification.
  case result(PeerTask, indices: [Int])
  /// The time of some executions.
  case measure(PeerTask, ComparisonTurn)
  /// The time of some training steps of a network.
  case train(PeerTraining, repetitions: Int, first: Bool)

  /// The line, without its end.
  var json: String {
    switch self {
    case .hello:
      return #"{"request": "hello"}"#
    case .result(let task, let indices):
      return #"{"request": "result", \#(task.members), "indices": \#(indices)}"#
    case .measure(let task, let turn):
      return #"{"request": "measure", \#(task.members), "repetitions": \#(turn.repetitions), "#
        + #""untimed": \#(turn.untimed), "evict_bytes": \#(turn.evictBytes)}"#
    case .train(let training, let repetitions, let first):
      return
        #"{"request": "train", \#(training.members), "repetitions": \#(repetitions), "first": \#(first)}"#
    }
  }
}

/// One convolution as peers are told it.
public struct PeerTask: Sendable, Hashable {
  public var problem: ConvProblem
  public var pass: ConvPass
  public var threads: Int
  public var seed: UInt64
  public var configuration: String
  public var filterState: FilterState

  /// A task.
  public init(
    problem: ConvProblem, pass: ConvPass, threads: Int, seed: UInt64, configuration: String,
    filterState: FilterState
  ) {
    self.problem = problem
    self.pass = pass
    self.threads = threads
    self.seed = seed
    self.configuration = configuration
    self.filterState = filterState
  }

  var members: String {
    let axes = problem.axesInUse
    func list(_ extent: Extent) -> String { "\(axes.map { extent[$0] })" }
    let padding = axes.map { [problem.padding.before[$0], problem.padding.after[$0]] }
    return
      #""problem": {"text": \#(JSONValue.quoted(problem.description)), "n": \#(problem.n), "c": \#(problem.c), "#
      + #""k": \#(problem.k), "groups": \#(problem.groups), "input": \#(list(problem.input)), "#
      + #""filter": \#(list(problem.filter)), "output": \#(list(problem.output)), "#
      + #""stride": \#(list(problem.stride)), "padding": \#(padding), "dilation": \#(list(problem.dilation))}, "#
      + #""pass": \#(JSONValue.quoted(pass.rawValue)), "threads": \#(threads), "seed": \#(seed), "#
      + #""configuration": \#(JSONValue.quoted(configuration)), "#
      + #""filter_state": \#(JSONValue.quoted(filterState.rawValue))"#
  }
}

/// The training of a network as peers are told it.
public struct PeerTraining: Sendable, Hashable {
  /// As in `resnet18`.
  public var network: String
  public var batch: Int
  /// Channels, height and width of the images.
  public var image: [Int]
  public var threads: Int
  public var seed: UInt64
  public var configuration: String

  /// A training.
  public init(
    network: String, batch: Int, image: [Int], threads: Int, seed: UInt64, configuration: String
  ) {
    self.network = network
    self.batch = batch
    self.image = image
    self.threads = threads
    self.seed = seed
    self.configuration = configuration
  }

  var members: String {
    #""network": \#(JSONValue.quoted(network)), "batch": \#(batch), "image": \#(image), "threads": \#(threads), "#
      + #""seed": \#(seed), "configuration": \#(JSONValue.quoted(configuration))"#
  }
}

/// Who the peer is.
public struct PeerIdentity: Sendable, Hashable {
  /// One lower-case word: `pytorch`. Whatever a peer says, name and version hold nothing that a terminal would obey.
  public var name: String
  public var version: String
  /// The ways in which it can compute (layouts); for each row the fastest counts.
  public var configurations: [String]
  /// Whether it follows `untimed` and `evict_bytes`.
  public var settles = false
}

/// Why a comparison cannot go on, or has no row.
public enum PeerError: Error, Sendable, CustomStringConvertible {
  /// The peer's process does not answer, or not in the protocol.
  case broken(command: String, reason: String, errorOutput: String)
  /// The peer answered that it cannot.
  case declined(String)
  /// Whoever asked wants to end.
  case interrupted

  /// With the last lines that the peer wrote to standard error.
  public var description: String {
    switch self {
    case .broken(let command, let reason, let errorOutput):
      let lines = errorOutput.split(separator: "\n").suffix(20).map { "  \($0)" }.joined(separator: "\n")
      return "the peer '\(command)' \(reason)"
        + (lines.isEmpty ? "; it wrote nothing to standard error" : "; it wrote to standard error:\n\(lines)")
    case .declined(let reason): return reason
    case .interrupted: return "interrupted"
    }
  }
}
