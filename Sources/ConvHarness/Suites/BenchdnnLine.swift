import ConvCore

/// The line by which benchdnn names a problem, behind `__REPRO:` in what it prints; `--match` searches it.
///
/// First come the options that differ from benchdnn's own defaults (of those that are honoured here `--dir`, `--stag`, `--wtag` and
/// `--dtag`), then the descriptor in benchdnn's order, whatever the order in the file: `g` where it was written, `mb` unless it is
/// 2, outputs and near paddings also where they were deduced, strides unless all are 1, dilations unless all are 0, widths and
/// heights only where they are not those of the axis before, `n` and the name as it was written.
struct BenchdnnLine {
  /// The descriptor's parts before and behind the batch size.
  private let group: String, sizes: String

  /// - Parameters:
  ///   - problem: the sizes; its batch size is not part of it.
  ///   - label: what stands after `n`.
  ///   - statesGroups: whether the file gives their number.
  init(_ problem: ConvProblem, label: String, statesGroups: Bool) {
    let rank = problem.spatialRank
    let axes = Array((3 - rank)..<3)
    let (input, filter, output) = (problem.input, problem.filter, problem.output)
    func figures(_ axis: Int) -> [Int] {
      [
        input[axis], output[axis], filter[axis], problem.stride[axis], problem.padding.before[axis],
        problem.dilation[axis],
      ]
    }
    let isCube = rank > 1 && axes.allSatisfy { figures($0) == figures(axes[0]) }
    let shown = isCube ? [axes[0]] : axes
    func spatial(_ letter: String, _ value: (Int) -> Int) -> String {
      shown.map { "\(letter)\(["d", "h", "w"][$0])\(value($0))" }.joined()
    }
    var text = "ic\(problem.c)" + spatial("i") { input[$0] } + "oc\(problem.k)" + spatial("o") { output[$0] }
    text += spatial("k") { filter[$0] }
    if axes.contains(where: { problem.stride[$0] != 1 }) { text += spatial("s") { problem.stride[$0] } }
    text += spatial("p") { problem.padding.before[$0] }
    if axes.contains(where: { problem.dilation[$0] != 1 }) {
      text += spatial("d") { problem.dilation[$0] - 1 }
    }
    sizes = label.isEmpty ? text : "\(text)n\(label)"
    group = statesGroups || problem.groups != 1 ? "g\(problem.groups)" : ""
  }

  /// The line at a batch size.
  ///
  /// - Parameter options: what differs from benchdnn's defaults, as in `--dir=BWD_D `.
  func text(batch: Int, options: String = "") -> String {
    options + group + (batch == 2 ? "" : "mb\(batch)") + sizes
  }
}
