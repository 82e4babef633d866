import ConvCore

extension HTMLReport {
  /// What a report may know beyond the columns that every row has: each fact adds a line, a column or a chart where it is present.
  public struct Facts: Sendable {
    /// Measured memory bandwidth in GB/s, for the roofline.
    public var bandwidth: Double?
    /// What disturbed the measurement, in words.
    public var noise: [String] = []
    /// Seconds of a row's execution by phase, in their order.
    public var phases: @Sendable (ResultRow) -> [(name: String, seconds: Double)] = { _ in [] }
    /// A row's time compared with that of the fastest engine of its layer, as a ratio and in a word.
    public var besideBest: @Sendable (ResultRow) -> (ratio: String, word: String) = { _ in ("", "") }
    /// Under which further conditions a row was measured, as in `cold cache`; only rows of equal conditions are compared.
    public var conditions: @Sendable (ResultRow) -> String = { _ in "" }

    /// No facts.
    public init() {}
  }
}
