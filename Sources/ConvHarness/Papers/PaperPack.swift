import ConvCore
import Foundation

/// What an implementation computes a convolution with, as far as publications tell them apart.
public enum AlgorithmClass: String, Sendable, Hashable, CaseIterable {
  /// The sums themselves, as loops or as a matrix product (im2col, implicit GEMM).
  case direct
  /// Minimal filtering, F(m×m, r×r).
  case winograd
  /// Products of spectra.
  case fft

  /// `direct or fft`, in the order of the cases.
  public static func text(_ classes: Set<AlgorithmClass>) -> String {
    allCases.filter(classes.contains).map(\.rawValue).joined(separator: " or ")
  }
}

/// Where a number is published.
public struct PaperSource: Hashable, Sendable {
  /// Who published it, in short: `Lavin & Gray 2015`.
  public var title: String
  public var url: String
  /// The place in it: `table 5`.
  public var place: String

  /// A place in a publication.
  public init(title: String, url: String, place: String) {
    self.title = title
    self.url = url
    self.place = place
  }
}

/// A published number.
public struct PaperFigure: Hashable, Sendable {
  /// What the number counts.
  public enum Unit: String, Sendable, Hashable {
    case milliseconds = "ms"
    /// 10¹² operations of the direct algorithm per second.
    case teraflops = "effective TFLOPS"
    /// Largest absolute error of a result.
    case error = "max error"
  }

  /// The layer of the pack, or the network whose layers are taken together.
  public var subject: String
  /// The passes that it was measured over; several are one sum.
  public var passes: [ConvPass]
  /// As the publication calls it.
  public var implementation: String
  /// What it computes with; several where it chooses by the layer, none where the publication does not say.
  public var classes: Set<AlgorithmClass>
  /// The algorithm's parameters in the language of `PlanOptions.variant`, where the number belongs to them.
  public var variant: String?
  public var value: Double
  public var unit: Unit
  /// Images per batch; nil where the publication does not say.
  public var batch: Int?
  public var hardware: String
  public var source: PaperSource
}

/// A published statement that one kind of algorithm is faster than another.
public struct PaperOrder: Hashable, Sendable {
  public var subject: String
  public var passes: [ConvPass]
  public var faster: Set<AlgorithmClass>
  public var slower: Set<AlgorithmClass>
  /// The implementations that were compared, and how many times faster; nil where only the order is stated.
  public var implementations: String
  public var ratio: Double?
  public var source: PaperSource
}

/// A publication's layers and numbers.
public struct PaperPack: Sendable {
  /// The name on the command line.
  public var name: String
  public var title: String
  public var url: String
  /// The layers at the publication's batch.
  public var layers: [BenchmarkProblem]
  /// The network that all layers, as often as they occur, make up.
  public var network: String?
  public var figures: [PaperFigure]
  /// Orders that are stated without numbers.
  public var statedOrders: [PaperOrder]
  /// What is left out and why, and what is to be known about the numbers.
  public var notes: [String]

  /// All packs in the order of lists.
  public static let all: [PaperPack] = [.convnetBenchmarks, .nnpack, .lavinGray, .fbfft]

  /// The pack of that name.
  ///
  /// - Throws: `HarnessError.unknownName`.
  public static func named(_ name: String) throws -> PaperPack {
    guard let pack = all.first(where: { $0.name == name }) else {
      throw HarnessError.unknownName(
        kind: "paper", name: name, known: NearNames.sorted(all.map(\.name), by: name))
    }
    return pack
  }

  /// The passes that the publication says something about, in their usual order.
  public var passes: [ConvPass] {
    let known = figures.flatMap(\.passes) + statedOrders.flatMap(\.passes)
    return ConvPass.allCases.filter(known.contains)
  }

  /// The sources of the numbers and statements, each once.
  public var sources: [PaperSource] {
    var sources: [PaperSource] = []
    for source in figures.map(\.source) + statedOrders.map(\.source) where !sources.contains(source) {
      sources.append(source)
    }
    return sources
  }

  /// Most operations of one execution at `defaultBatch`: a fraction of a second on a CPU's core.
  public static let defaultFLOPs = 10e9

  /// The largest power of two, at most the publication's batch, at which the direct algorithm takes at most
  /// `defaultFLOPs`; 1 where one image takes more.
  public static func defaultBatch(for layer: BenchmarkProblem) -> Int {
    let perImage = layer.problem.directFLOPs / Double(layer.problem.n)
    var batch = 1
    while 2 * batch <= layer.problem.n && Double(2 * batch) * perImage <= defaultFLOPs { batch *= 2 }
    return batch
  }

  /// The published orders: those that are stated, and those of every two kinds of algorithm that were timed on the same
  /// hardware in the same table, each at its best.
  ///
  /// Where a table has several batches, the one nearest to `batch` counts. Equal times are no order, and implementations
  /// that choose among kinds are compared only with kinds that they do not choose from.
  public func orders(batch: Int) -> [PaperOrder] {
    var orders = statedOrders
    var seen: [PaperFigure] = []
    for figure in figures where figure.unit != .error && !figure.classes.isEmpty {
      func isOfItsTable(_ other: PaperFigure) -> Bool {
        (other.subject, other.passes) == (figure.subject, figure.passes)
          && (other.hardware, other.source) == (figure.hardware, figure.source)
      }
      if seen.contains(where: isOfItsTable) { continue }
      seen.append(figure)
      let table = figures.filter {
        $0.unit != .error && !$0.classes.isEmpty && isOfItsTable($0)
      }
      orders += PaperPack.orders(of: PaperPack.nearest(table, to: batch))
    }
    return orders
  }

  /// The figures of the batch whose ratio with `batch` is nearest to 1.
  private static func nearest(_ figures: [PaperFigure], to batch: Int) -> [PaperFigure] {
    func distance(_ figure: PaperFigure) -> Double {
      guard let own = figure.batch else { return .infinity }
      return max(Double(own) / Double(batch), Double(batch) / Double(own))
    }
    let least = figures.map(distance).min() ?? 0
    return figures.filter { distance($0) == least }
  }

  /// Every two disjoint sets of kinds, each by its best figure.
  private static func orders(of figures: [PaperFigure]) -> [PaperOrder] {
    var best: [PaperFigure] = []
    for figure in figures {
      if let index = best.firstIndex(where: { $0.classes == figure.classes }) {
        if figure.speed > best[index].speed { best[index] = figure }
      } else {
        best.append(figure)
      }
    }
    var orders: [PaperOrder] = []
    for (index, one) in best.enumerated() {
      for other in best[(index + 1)...]
      where one.classes.isDisjoint(with: other.classes) && one.speed != other.speed {
        let (fast, slow) = one.speed > other.speed ? (one, other) : (other, one)
        orders.append(
          PaperOrder(
            subject: fast.subject, passes: fast.passes, faster: fast.classes, slower: slow.classes,
            implementations: "\(fast.implementation) over \(slow.implementation)",
            ratio: fast.speed / slow.speed, source: fast.source))
      }
    }
    return orders
  }
}

extension PaperFigure {
  /// The number with the digits that were published.
  public var text: String { String(format: unit == .error ? "%.2e" : "%g", value) }

  /// What is greater for a faster implementation of the same work.
  fileprivate var speed: Double { unit == .milliseconds ? 1 / value : value }

  /// GFLOP/s of the direct algorithm; nil where the figure is not of one of `layers` or of no known batch.
  public func gflops(layers: [BenchmarkProblem]) -> Double? {
    switch unit {
    case .error: return nil
    case .teraflops: return value * 1e3
    case .milliseconds:
      guard let batch, let layer = layers.first(where: { $0.name == subject }) else { return nil }
      let perImage = layer.problem.directFLOPs / Double(layer.problem.n)
      return perImage * Double(batch) * Double(passes.count) / (value * 1e6)
    }
  }
}

/// A table of a publication: one row per implementation, one column per layer or network.
struct PaperTable {
  /// An implementation's numbers, nil where the publication has none.
  struct Row {
    let implementation: String
    let classes: Set<AlgorithmClass>
    let variant: String?
    let values: [Double?]

    init(
      _ implementation: String, _ classes: Set<AlgorithmClass>, variant: String? = nil, _ values: [Double?]
    ) {
      self.implementation = implementation
      self.classes = classes
      self.variant = variant
      self.values = values
    }
  }

  let source: PaperSource
  let hardware: String
  let passes: [ConvPass]
  var unit = PaperFigure.Unit.milliseconds
  let columns: [(subject: String, batch: Int?)]
  let rows: [Row]

  /// Row by row.
  var figures: [PaperFigure] {
    rows.flatMap { row in
      precondition(row.values.count == columns.count, "\(row.implementation): \(row.values.count) values")
      return zip(columns, row.values).compactMap { column, value in
        value.map {
          PaperFigure(
            subject: column.subject, passes: passes, implementation: row.implementation,
            classes: row.classes, variant: row.variant, value: $0, unit: unit, batch: column.batch,
            hardware: hardware, source: source)
        }
      }
    }
  }
}

extension PaperPack {
  /// Layers from lines of a problem file.
  static func layers(_ lines: [String]) -> [BenchmarkProblem] {
    lines.map { line in
      guard let layer = try? ProblemFile.parse(line) else {
        preconditionFailure("the layer '\(line)' is no valid problem")
      }
      return layer
    }
  }
}
