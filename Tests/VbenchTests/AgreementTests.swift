import ConvCore
import ConvTestSupport
import Foundation
import Testing

/// `vbench agreement`, but for the measuring itself, which a debug build refuses.
@Suite struct AgreementCommandTests {
  @Test func itemsAreDrawnByChanceAndSeed() throws {
    func listed(_ arguments: [String]) throws -> String {
      let outcome = try CommandLineRunner.run(["agreement", "--list"] + arguments)
      #expect(outcome.status == 0, "\(outcome)")
      return outcome.output
    }
    let first = try listed([])
    #expect(first.hasSuffix("40 measurements\n"), "\(first)")
    #expect(try listed([]) == first && listed(["--seed", "2"]) != first)
    let few = try listed(["--suite", "resnet50", "--passes", "forward", "--items", "3"])
    #expect(few.hasSuffix("3 measurements\n"), "\(few)")
    // All that there are, where there are fewer.
    let all = try listed(["--suite", "seed-cnn", "--filter-state", "fresh", "--items", "1000"])
    #expect(all.hasSuffix("9 measurements\n"), "\(all)")
  }

  @Test(arguments: [
    (["--items", "0"], "--items is 0"), (["--visits", "5"], "--visits is 5, 6 to 1000"),
    (["--budget", "0"], "--budget is 0"), (["--cache", "warm,cold"], "--cache names 2 states"),
    (["--cache", "hot"], "hot"), (["--backends", "winogrid"], "winograd"), ([], "a debug build refuses"),
  ])
  func wrongUseIsSaid(_ arguments: [String], _ expected: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try CommandLineRunner.run(["agreement", "--output", folder + "/out"] + arguments)
      #if DEBUG
        #expect(outcome.status == 64 && outcome.error.contains(expected), "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
      #else
        if !arguments.isEmpty {
          #expect(outcome.status == 64 && outcome.error.contains(expected), "\(outcome)")
        }
      #endif
    }
    let without = try CommandLineRunner.run(["agreement"])
    #expect(without.status == 64 && without.error.contains("--output DIR is needed"), "\(without)")
  }
}
