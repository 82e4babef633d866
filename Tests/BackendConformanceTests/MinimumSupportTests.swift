import ConvBackends
import ConvCore
import ConvTestSupport
import Foundation
import Testing

@Suite struct MinimumSupportTests {
  /// All combinations of the table's columns, at several filters and options.
  @Test(arguments: MinimumSupport.table.filter { BackendRegistry.names.contains($0.backend) })
  func nothingOfItIsDeclined(_ entry: MinimumSupport) throws {
    let backend = try BackendRegistry.named(entry.backend).backend
    var count = 0
    for pass in ConvPass.allCases {
      for rank in 1...3 {
        for taps in entry.taps ?? (rank == 3 ? [1, 2, 3, 7] : [1, 2, 3, 7, 31]) {
          for stride in entry.strides ? [1, 2, 4] : [1] {
            for dilation in [1, 2] {
              for groups in [1, 2, 32] {
                for type in entry.elementTypes {
                  for format in MemoryFormat.allCases {
                    let operation = try self.operation(
                      pass, rank, taps, stride, dilation, groups, type, format)
                    #expect(entry.covers(operation))
                    #expect(backend.support(for: operation) == .supported, "\(operation)")
                    count += 1
                  }
                }
              }
            }
          }
        }
      }
    }
    #expect(count >= 3 * 3 * 2 * 2 * 3 * 2 * entry.elementTypes.count)
  }

  @Test func whatIsDeclinedComesWithAReason() throws {
    let winograd = try BackendRegistry.named("winograd").backend
    let large = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n1c4h32w32k4r7s7"))
    let reason = try #require(winograd.support(for: large).reason)
    #expect(reason.contains("7×7"), "\(reason)")
    #expect(!MinimumSupport.requires("winograd", large))
    for backend in BackendRegistry.all {
      let operation = ConvOperation(.forward, try ConvProblem(parsing: "conv2d:n1c4h32w32k4r3s3"))
      let options = PlanOptions(variant: "no-such-variant=1")
      #expect(backend.support(for: operation, options).reason != nil, "\(backend.name)")
    }
  }

  @Test func everyEngineHasAnEntry() {
    #expect(Set(BackendRegistry.names).isSubset(of: Set(MinimumSupport.table.map(\.backend))))
  }

  @Test func thePageOfEnginesPrintsTheTable() throws {
    let page = try String(
      contentsOf: checkout.appendingPathComponent("Documentation/Engines.md"), encoding: .utf8)
    #expect(page.contains(MinimumSupport.markdown), "the page should hold\n\(MinimumSupport.markdown)")
  }

  private func operation(
    _ pass: ConvPass, _ rank: Int, _ taps: Int, _ stride: Int, _ dilation: Int, _ groups: Int,
    _ type: ElementType, _ format: MemoryFormat
  ) throws -> ConvOperation {
    func extent(_ value: Int, unused: Int = 1) -> Extent {
      Extent(d: rank == 3 ? value : unused, h: rank >= 2 ? value : unused, w: value)
    }
    var filter = extent(taps)
    filter.d = min(filter.d, 3)
    let problem = try ConvProblem(
      spatialRank: rank, n: 2, c: 32, k: 32, groups: groups, input: extent(rank == 3 ? 12 : 20),
      filter: filter, stride: extent(stride),
      padding: Padding(before: extent(taps, unused: 0), after: extent(dilation * taps, unused: 0)),
      dilation: extent(dilation))
    return ConvOperation(
      pass, problem, elementType: type, inputFormat: format, outputFormat: format, filterFormat: format)
  }
}
