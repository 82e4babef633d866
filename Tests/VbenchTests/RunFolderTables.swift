import Foundation

/// The tables of `report.md` against `results.csv`.
extension RunFolderCheck {
  /// One row of each suite's table per row of the file, in the same order, with the same numbers.
  mutating func checkLayerTables() throws {
    let numbers = [
      ("samples", "samples"), ("median ms", "median_ms"), ("GFLOP/s", "gflops_effective"),
      ("peak %", "peak_percent"), ("roofline %", "roofline_percent"),
    ]
    var shown = 0
    for table in tables where table.section == "Layers" {
      let own = results.indices.filter { results[$0]["suite"] == table.heading }
      expect(table.rows.count == own.count, "the table of \(table.heading) has \(table.rows.count) rows")
      shown += table.rows.count
      let verdict = try table.column("verdict")
      let (speedup, best) = (try table.column("speed-up"), try table.column("time / best"))
      for (cells, index) in zip(table.rows, own) {
        let row = results[index]
        expect(index, cells[verdict].hasPrefix(row["verdict"] ?? "?"), "another verdict in report.md")
        for (title, name) in numbers {
          let cell = cells[try table.column(title)]
          let holds = number(index, name).map { PlainTables.isRounded(cell, of: $0) } ?? cell.isEmpty
          expect(index, holds, "report.md has \(title) '\(cell)' for \(row[name] ?? "")")
        }
        for (cell, name) in [(cells[speedup + 1], "verdict_speed"), (cells[best + 1], "verdict_best")] {
          let known = row[name] ?? ""
          // What nothing is known of says why.
          let words =
            switch known {
            case "unknown": ["not worth timing", "too few rounds"]
            case "": reasons(index, name)
            case "indistinguishable": [known, "not worth timing"]
            default: [known]
            }
          let what = name == "verdict_speed" ? "another verdict of speed" : "another verdict beside the best"
          expect(index, words.contains(cell), "\(what) in report.md: '\(cell)' for '\(known)'")
        }
        let ratios = [
          (cells[speedup], cells[speedup + 1], "speedup"), (cells[best], cells[best + 1], "ratio_to_best"),
        ]
        for (cell, word, name) in ratios {
          // The baseline and the best beside themselves have no text.
          let isEmpty = ["baseline", "best", ""].contains(word)
          let values = ["", "_low", "_high"].map { number(index, name + $0) }
          let isSingle = row[name == "speedup" ? "verdict_speed" : "verdict_best"] == "unknown"
          let holds =
            isEmpty || values[0] == nil
            ? cell.isEmpty
            : isSingle ? PlainTables.isRounded(cell, of: values[0] ?? .nan) : isRatio(cell, values)
          expect(index, holds, "report.md has \(name) '\(cell)'")
        }
      }
    }
    expect(shown == results.count, "report.md shows \(shown) of \(results.count) rows")
  }

  /// What a row without a verdict of speed may say instead.
  private func reasons(_ index: Int, _ name: String) -> [String] {
    if number(index, "median_ms") == nil { return [name == "verdict_speed" ? "not timed" : ""] }
    let baseline = results[index]["baseline"] ?? ""
    return name == "verdict_best"
      ? ["no engine timed"]
      : ["takes no part", "declined", "failed", "is mistrusted", "has no reference", "has no time"]
        .map { "\(baseline) \($0)" }
  }

  /// Whether a cell is `1.83 (1.80–1.86)` of three numbers.
  private func isRatio(_ cell: String, _ values: [Double?]) -> Bool {
    let parts = cell.components(separatedBy: " (")
    guard parts.count == 2, parts[1].hasSuffix(")"), let ratio = values[0], let low = values[1],
      let high = values[2], PlainTables.isRounded(parts[0], of: ratio)
    else { return false }
    let ends = parts[1].dropLast().components(separatedBy: "–")
    if ends == ["too few rounds"] { return high > 999 * low }
    return ends.count == 2 && PlainTables.isRounded(ends[0], of: low)
      && PlainTables.isRounded(ends[1], of: high)
  }

  /// How often each engine passed, failed, is faster and slower.
  mutating func checkVerdictTable() throws {
    guard let table = tables.first(where: { $0.section == "Verdicts" }) else {
      return expect(results.isEmpty, "report.md has no table of verdicts")
    }
    let speeds = ["faster", "slower", "indistinguishable"]
    for cells in table.rows {
      let own = results.filter { $0["backend"] == cells[0] }
      expect(!own.isEmpty, "the table of verdicts has \(cells[0]), no row has it")
      for (title, cell) in zip(table.header, cells).dropFirst() where title != "worst error / bound" {
        let name = speeds.contains(title) ? "verdict_speed" : "verdict"
        let count = own.count { $0[name] == title }
        countTotal()
        expect(
          cell == "\(count)", "\(cells[0]) is \(title) in \(cell) rows of report.md, \(count) of results.csv")
      }
    }
    let backends = Set(results.compactMap { $0["backend"] })
    expect(Set(table.rows.map { $0[0] }) == backends, "the table of verdicts has not all backends")
  }

  /// Sums of medians, each as often as the network has the layer.
  mutating func checkTotals() throws {
    let totals = tables.filter { $0.section == "Whole networks" && $0.header.first == "engine" }
    let key = ["suite", "format", "filter_state", "cache", "threads", "workspace_limit_bytes", "data"]
    var groups: [[[Int]]] = []
    for item in items {
      let place = groups.firstIndex { group in
        key.allSatisfy { results[group[0][0]][$0] == results[item[0]][$0] }
      }
      if let place { groups[place].append(item) } else { groups.append([item]) }
    }
    // One layer alone has no total, nor has what nobody has a time of.
    let wanted = groups.filter { group in
      let passes = Dictionary(grouping: group) { results[$0[0]]["pass"] ?? "" }.values
      return passes.contains { $0.count > 1 }
        && passes.contains { items in
          items.allSatisfy { least(of: $0, role: "engine") != nil }
            || chooses(in: items).contains { name in items.allSatisfy { median(name, $0) != nil } }
        }
    }
    expect(
      totals.count == wanted.count, "\(totals.count) tables of totals, \(wanted.count) networks have one")
    for (table, group) in zip(totals, wanted) {
      let suite = results[group[0][0]]["suite"] ?? ""
      expect(table.heading.hasPrefix(suite), "totals of '\(table.heading)' where '\(suite)' is expected")
      let passes = table.header.dropFirst().dropLast()
      let present = Set(group.compactMap { results[$0[0]]["pass"] })
      expect(Set(passes) == present, "the totals of \(suite) have the passes \(passes)")
      let backends = Set(group.flatMap { $0 }.compactMap { results[$0]["backend"] })
      expect(
        Set(table.rows.map { $0[0] }).subtracting(["best of each layer"]) == backends,
        "the totals of \(suite) have not all backends")
      for cells in table.rows {
        let sums = passes.map { pass -> Double? in
          let times = group.filter { results[$0[0]]["pass"] == pass }.map { item -> Double? in
            let time =
              cells[0] == "best of each layer" ? least(of: item, role: "engine") : median(cells[0], item)
            return time.map { $0 * (number(item[0], "multiplicity") ?? 1) }
          }
          return times.contains { $0 == nil } ? nil : times.reduce(0) { $0 + ($1 ?? 0) }
        }
        let all = sums.contains { $0 == nil } ? nil : sums.reduce(0) { $0 + ($1 ?? 0) }
        for (title, (cell, sum)) in zip(table.header.dropFirst(), zip(cells.dropFirst(), sums + [all])) {
          countTotal()
          let holds =
            sum.map { PlainTables.isRounded(cell, of: $0) } ?? (cell.isEmpty || cell.hasSuffix(" layers"))
          let value = sum.map { "\($0)" } ?? "not known"
          expect(holds, "\(suite): \(cells[0]) takes '\(cell)' in \(title), its rows say \(value)")
        }
      }
    }
  }

  private func median(_ backend: String, _ item: [Int]) -> Double? {
    item.first { results[$0]["backend"] == backend }.flatMap { number($0, "median_ms") }
  }

  private func least(of item: [Int], role: String) -> Double? {
    item.filter { results[$0]["role"] == role }.compactMap { number($0, "median_ms") }.min()
  }

  private func chooses(in items: [[Int]]) -> Set<String> {
    Set(items.joined().filter { results[$0]["role"] == "chooser" }.compactMap { results[$0]["backend"] })
  }
}
