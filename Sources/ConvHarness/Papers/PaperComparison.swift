import ConvCore

/// Which kind of algorithm an engine's row stands for; nil takes part in no comparison. Only who knows the engines can say.
public typealias AlgorithmClassifier = (ResultRow) -> AlgorithmClass?

/// Whether the order of a publication's winners holds in the rows of a run.
public struct PaperComparison: Sendable {
  /// What became of a published order.
  public enum Verdict: String, Sendable, Hashable, CaseIterable {
    /// The same kind is faster here.
    case holds
    /// The other kind is faster here.
    case reversed
    /// The interval of the ratio does not tell them apart.
    case indistinguishable
    /// One of them has no time here.
    case notMeasured = "not measured"
  }

  /// A published order beside ours.
  public struct Finding: Sendable {
    public let order: PaperOrder
    public let verdict: Verdict
    /// Time of the kind that the publication found slower over that of the faster one; above 1 where the order holds.
    public let ratio: Speedup?
    /// The engines that stand for both sides, faster ones of the publication first, each once.
    public let engines: [String]
    /// Why nothing was measured.
    public let reason: String
  }

  /// One finding per published order whose layers and passes are in the rows.
  public let findings: [Finding]

  /// Compares the orders of `pack` with `rows`, the layers of which carry the names of the pack.
  ///
  /// A kind of algorithm is represented by its fastest engine, layer by layer and pass by pass. Passes that were published as one
  /// sum, and the layers of a network, are added up round by round; the ratio is that of paired rounds, with the interval and
  /// the threshold of `Speedup`.
  public init(pack: PaperPack, rows: [ResultRow], seed: UInt64, classifier: AlgorithmClassifier) {
    let batch = rows.compactMap { (try? ConvProblem(parsing: $0.problem))?.n }.min() ?? 1
    // What a chooser took is the engine's merit, which has a row of its own.
    let candidates = rows.map { (row: $0, kind: $0.role == .engine ? classifier($0) : nil) }
    findings = pack.orders(batch: batch).compactMap { order in
      let terms = pack.terms(of: order)
      let areInRows = terms.allSatisfy { term in
        rows.contains { $0.name == term.layer && $0.pass == term.pass }
      }
      return terms.isEmpty || !areInRows
        ? nil : PaperComparison.finding(order, terms, candidates, seed: seed)
    }
  }

  private static func finding(
    _ order: PaperOrder, _ terms: [PaperTerm], _ candidates: [(row: ResultRow, kind: AlgorithmClass?)],
    seed: UInt64
  ) -> Finding {
    func missing(_ reason: String) -> Finding {
      Finding(order: order, verdict: .notMeasured, ratio: nil, engines: [], reason: reason)
    }
    func fastest(_ kinds: Set<AlgorithmClass>, _ term: PaperTerm) -> ResultRow? {
      candidates
        .filter { row, kind in
          row.name == term.layer && row.pass == term.pass && !row.seconds.isEmpty
            && kind.map(kinds.contains) ?? false
        }
        .map(\.row).min { $0.medianMilliseconds < $1.medianMilliseconds }
    }
    var sides: [(faster: [Double], slower: [Double])] = []
    var engines: (faster: [String], slower: [String]) = ([], [])
    for term in terms {
      guard let faster = fastest(order.faster, term) else {
        return missing(
          "no time of \(AlgorithmClass.text(order.faster)) in \(term.layer) \(term.pass.rawValue)")
      }
      guard let slower = fastest(order.slower, term) else {
        return missing(
          "no time of \(AlgorithmClass.text(order.slower)) in \(term.layer) \(term.pass.rawValue)")
      }
      let paired = paired(faster, slower)
      // Layers may run at batches of their own: what is added up is the time of an image.
      let weight = term.weight / Double((try? ConvProblem(parsing: faster.problem))?.n ?? 1)
      sides.append((paired.one.map { $0 * weight }, paired.other.map { $0 * weight }))
      if !engines.faster.contains(faster.backend) { engines.faster.append(faster.backend) }
      if !engines.slower.contains(slower.backend) { engines.slower.append(slower.backend) }
    }
    let rounds = sides.map(\.faster.count).min() ?? 0
    func sums(_ side: KeyPath<(faster: [Double], slower: [Double]), [Double]>) -> [Double] {
      (0..<rounds).map { round in sides.reduce(0) { $0 + $1[keyPath: side][round] } }
    }
    let ratio = Speedup(baseline: sums(\.slower), own: sums(\.faster), seed: seed)
    let verdict: Verdict
    switch ratio.verdict {
    case .faster: verdict = .holds
    case .slower: verdict = .reversed
    case .indistinguishable: verdict = .indistinguishable
    case .baseline, .unknown: return missing("fewer than two paired rounds")
    }
    return Finding(
      order: order, verdict: verdict, ratio: ratio,
      engines: [engines.faster.joined(separator: ", "), engines.slower.joined(separator: ", ")], reason: "")
  }

  /// The times of the rounds that both rows took part in.
  private static func paired(_ one: ResultRow, _ other: ResultRow) -> (one: [Double], other: [Double]) {
    let others = Dictionary(zip(other.rounds, other.seconds), uniquingKeysWith: { $1 })
    let shared = zip(one.rounds, one.seconds).filter { others[$0.0] != nil }
    return (shared.map(\.1), shared.map { others[$0.0]! })
  }

  /// How many findings have a verdict.
  public func count(_ verdict: Verdict) -> Int { findings.count { $0.verdict == verdict } }

  /// `The order of the winners holds in 8 of 10 pairs; 1 is reversed, 1 cannot be told apart here.`
  public var summary: String {
    let measured = findings.count - count(.notMeasured)
    var text: String
    if findings.isEmpty {
      text = "No published order is among the layers and passes of this run."
    } else if measured == 0 {
      text = "None of the \(findings.count) published pairs was timed here."
    } else {
      text = "The order of the winners holds in \(count(.holds)) of \(measured) pairs"
      text += "; \(count(.reversed)) reversed, \(count(.indistinguishable)) cannot be told apart here."
      if count(.notMeasured) > 0 { text += " \(count(.notMeasured)) more have no times here." }
    }
    return text
  }
}

/// A part of what a published number covers.
struct PaperTerm {
  let layer: String
  let pass: ConvPass
  /// What its time counts in the sum.
  let weight: Double
}

extension PaperPack {
  /// The layers and passes of an order; empty for a network whose layers the pack does not have.
  func terms(of order: PaperOrder) -> [PaperTerm] {
    if layers.contains(where: { $0.name == order.subject }) {
      return order.passes.map { PaperTerm(layer: order.subject, pass: $0, weight: 1) }
    }
    guard order.subject == network else { return [] }
    return layers.flatMap { layer in
      order.passes.map {
        PaperTerm(layer: layer.name, pass: $0, weight: Double(layer.multiplicity))
      }
    }
  }
}

/// A publication's largest errors beside ours.
public struct PaperErrors: Sendable {
  /// An engine's error with the published one of the same algorithm, where there is one.
  public struct Line: Sendable {
    public let layer: String
    public let engine: String
    /// Results that the engine's error is the largest of.
    public let samples: Int
    public let error: Double
    public let figure: PaperFigure?
  }

  public let lines: [Line]
  /// Pairs of published errors that were measured here, and those with the same order here.
  public let pairs: (count: Int, holding: Int)

  /// Compares the errors of `pack` with verified forward rows that were made for it.
  ///
  /// A row belongs to a figure if it is of the figure's kind of algorithm and its competitor has the figure's variant.
  public init(pack: PaperPack, rows: [ResultRow], classifier: AlgorithmClassifier) {
    let figures = pack.figures.filter { $0.unit == .error }
    var lines: [Line] = []
    for row in rows where !row.verification.errorMax.isNaN {
      let ofLayer = figures.filter { $0.subject == row.name && $0.passes == [row.pass] }
      if ofLayer.isEmpty { continue }
      let kind = classifier(row)
      let variant = PaperErrors.variant(of: row.backend)
      lines.append(
        Line(
          layer: row.name, engine: row.backend, samples: row.verification.samples,
          error: row.verification.errorMax,
          figure: ofLayer.first { figure in
            figure.variant == variant && kind.map(figure.classes.contains) ?? false
          }))
    }
    var count = 0
    var holding = 0
    for (index, one) in lines.enumerated() {
      for other in lines[(index + 1)...] where other.layer == one.layer {
        guard let published = one.figure, let others = other.figure, published != others else { continue }
        count += 1
        if (published.value < others.value) == (one.error < other.error) { holding += 1 }
      }
    }
    self.lines = lines
    pairs = (count, holding)
  }

  /// What stands in the brackets of a competitor's label.
  private static func variant(of label: String) -> String? {
    guard let bracket = label.firstIndex(of: "["), label.last == "]" else { return nil }
    return String(label[label.index(after: bracket)...].dropLast())
  }
}
