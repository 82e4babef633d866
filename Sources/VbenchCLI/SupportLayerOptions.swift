import ArgumentParser
import ConvCore
import ConvHarness

/// The options that say what is done with each problem: the same for every command that measures or explains layers.
struct LayerOptions: ParsableArguments {
  @Option(help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"))
  var passes = "forward,backward-data,backward-filter"

  @Option(help: ArgumentHelp("Memory formats of the images: nhwc, as in networks, nchw.", valueName: "list"))
  var format = RunItem.standardFormat.rawValue

  @Option(
    help: ArgumentHelp("fresh (the filter is transformed each time), prepared (once).", valueName: "list"))
  var filterState = "fresh"

  @Option(help: "Seed of data, samples and resampling.")
  var seed: UInt64 = 1

  /// The layers of `selection` in the passes, formats and filter states that are asked for.
  ///
  /// - Throws: `UnknownNameError`, `UsageError`.
  func items(_ layers: [ProblemOptions.Layer], of selection: ProblemOptions) throws -> [RunItem] {
    try selection.items(
      layers, passes: NameList.values(passes, option: "passes", as: ConvPass.self),
      formats: formats(),
      states: NameList.values(filterState, option: "filter-state", as: FilterState.self))
  }

  /// The formats that `--format` names.
  ///
  /// - Throws: `UnknownNameError`, `UsageError`.
  func formats() throws -> [MemoryFormat] {
    try NameList.values(format, option: "format", as: MemoryFormat.self)
  }
}
