import ArgumentParser
import ConvCore
import ConvHarness

/// The options that say what is done with each problem: the same for every command that measures or explains layers.
struct LayerOptions: ParsableArguments {
  @Option(help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"))
  var passes = "forward,backward-data,backward-filter"

  @Option(
    help: ArgumentHelp(
      "Memory formats of the images: nchw, nhwc; if left out run takes nchw, explain and tune nhwc.",
      valueName: "list"))
  var format: String?

  @Option(
    help: ArgumentHelp("fresh (the filter is transformed each time), prepared (once).", valueName: "list"))
  var filterState = "fresh"

  @Option(help: "Seed of data, samples and resampling.")
  var seed: UInt64 = 1

  /// The layers of `selection` in the passes, formats and filter states that are asked for.
  ///
  /// - Parameter standard: the format where none is named.
  /// - Throws: `UnknownNameError`, `UsageError`.
  func items(
    _ layers: [ProblemOptions.Layer], of selection: ProblemOptions, format standard: MemoryFormat
  ) throws -> [RunItem] {
    try selection.items(
      layers, passes: NameList.values(passes, option: "passes", as: ConvPass.self),
      formats: format.map { try NameList.values($0, option: "format", as: MemoryFormat.self) } ?? [standard],
      states: NameList.values(filterState, option: "filter-state", as: FilterState.self))
  }
}
