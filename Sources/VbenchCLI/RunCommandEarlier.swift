import ArgumentParser
import ConvHarness

/// The option that leaves a run without a word about an earlier one.
struct EarlierRunOption: ParsableArguments {
  @Flag(
    help:
      "Does not say what has changed since the newest run of the same problems in or beside the report's folder."
  )
  var noCompare = false

  /// What has changed since that run, in a line; empty where there is none. Whatever is wrong with stored runs is no fault of the
  /// new one: such folders are passed over, and named where the run is verbose.
  func changes(in report: RunReport, replacing folder: String, verbose: Bool) -> String {
    if noCompare { return "" }
    let search = EarlierRun.search(replacing: folder, for: report)
    if verbose { search.notes.forEach(Terminal.warn(_:)) }
    return search.run.map { RunChanges(since: $0, report).sentence } ?? ""
  }
}
