import ArgumentParser
import ConvCore
import ConvHarness

/// The options that say what is done with each problem: the same for every command that measures or explains layers.
struct LayerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("forward, backward-data, backward-filter.", valueName: "list"),
    completion: .custom(Completions.values(of: ConvPass.self)))
  var passes = "forward,backward-data,backward-filter"

  @Option(
    help: ArgumentHelp("Memory formats of the images: nhwc, as in networks, nchw.", valueName: "list"),
    completion: .custom(Completions.values(of: MemoryFormat.self)))
  var format = RunItem.standardFormat.rawValue

  @Option(
    help: ArgumentHelp(
      "fresh (the filter is transformed each time), prepared (once); fresh if left out, with agreement both.",
      valueName: "list"), completion: .custom(Completions.values(of: FilterState.self)))
  var filterState: String?

  @Option(help: "Seed of data, samples and resampling.")
  var seed: UInt64 = 1

  /// The layers of `selection` in the passes, formats and filter states that are asked for.
  ///
  /// - Parameter states: where `--filter-state` is left out.
  /// - Throws: `UnknownNameError`, `UsageError`.
  func items(
    _ layers: [ProblemOptions.Layer], of selection: ProblemOptions, states: [FilterState] = [.fresh]
  ) throws -> [RunItem] {
    let passes = try NameList.values(passes, option: "passes", as: ConvPass.self)
    let named = try filterState.map { try NameList.values($0, option: "filter-state", as: FilterState.self) }
    return try selection.items(layers, passes: passes, formats: formats(), states: named ?? states)
  }

  /// The formats that `--format` names.
  ///
  /// - Throws: `UnknownNameError`, `UsageError`.
  func formats() throws -> [MemoryFormat] {
    try NameList.values(format, option: "format", as: MemoryFormat.self)
  }
}
