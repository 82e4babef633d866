import ConvBackends
import ConvCore
import ConvHarness

extension CheckCommand {
  /// Dense, two filter sizes, groups, 1×1, strided, depthwise, large.
  private static let representatives = [
    "conv2d:n3c16h23w19k20r3s3p1", "conv2d:n2c24h17w18k16r5s5p2", "conv2d:n2c8h15w14k12r3s3p0,2,1,1g4",
    "conv2d:n2c32h14w14k24r1s1", "conv2d:n2c6h20w21k16r3s3u2p1", "conv2d:n2c16h14w15k16r3s3p1g16",
    "conv2d:n2c4h24w25k6r9s9p4",
  ]

  /// Prints the invariance matrix. Returns the number of promises that were not kept.
  func matrix(_ given: [ConvProblem], _ competitors: [Competitor], _ passes: [ConvPass]) throws -> Int {
    let problems = try given.isEmpty ? Self.representatives.map { try ConvProblem(parsing: $0) } : given
    var table = TextTable(["backend", "pass"] + Invariance.allCases.map(\.rawValue) + ["promised"])
    var broken: [String] = []
    for competitor in competitors {
      for pass in passes where !Interruption.isRequested {
        let row = try InvarianceCheck(seed: seed).row(competitor, pass, problems)
        table.add(
          [row.backend, pass.rawValue]
            + Invariance.allCases.map { row.cells[$0]?.cell.description ?? "" }
            + [row.promises ? "runs, threads" : "nothing"])
        for what in row.broken {
          guard let (cell, problem) = row.cells[what] else { continue }
          broken.append(
            "failed: \(row.backend) \(pass.rawValue) promises equal bits, \(what.rawValue): \(cell) on \(problem)\n"
              + "  vbench check \(problem) --invariance --backends \(ShellText.quoted(row.backend)) --passes "
              + "\(pass.rawValue) --seed \(seed)")
        }
        if verbose {
          for what in Invariance.allCases {
            if let (cell, problem) = row.cells[what] {
              StandardOutput.line("\(row.backend) \(pass.rawValue) \(what.rawValue): \(cell), on \(problem)")
            }
          }
        }
      }
    }
    StandardOutput.write(
      "invariance over \(problems.count) problems, seed \(seed) (the worst of them in each cell)")
    StandardOutput.write(table.text)
    for line in broken { StandardOutput.line(line) }
    return broken.count
  }
}
