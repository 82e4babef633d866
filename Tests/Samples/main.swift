import ConvTestSupport
import Foundation

// Builds and runs the samples of README.md and of the pages in Documentation (CONTRIBUTING.md, "Documentation"):
//
//     check-samples [PAGE[:LINE]…]
//
// Swift blocks are compiled against the modules and objects of the build that this program belongs to, `vbench` among them; so a block
// takes seconds, where a package that depends on the checkout would build everything again.

do {
  let check = try SampleCheck(checkout: URL(fileURLWithPath: FileManager.default.currentDirectoryPath))
  let failures = try check.run(Array(CommandLine.arguments.dropFirst()))
  exit(failures == 0 ? 0 : 1)
} catch {
  FileHandle.standardError.write(Data("error: \(error)\n".utf8))
  exit(1)
}
