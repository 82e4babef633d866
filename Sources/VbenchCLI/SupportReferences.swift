import ArgumentParser
import ConvCore
import Foundation

/// `--references`: where the stored numbers are.
struct ReferencesOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder of stored references; if left out what VBENCH_REFERENCES names, else that of the checkout.",
      valueName: "dir"), completion: .directory)
  var references: String?

  /// The folder; `ReferenceFolder` looks for it where none is named.
  ///
  /// - Throws: `FileError.missingInput`.
  func folder() throws -> String {
    guard let references else { return try ReferenceFolder.locate() }
    guard FileManager.default.fileExists(atPath: references) else {
      throw FileError.missingInput(path: references, reason: "no folder of references is there")
    }
    return references
  }
}

/// Where the stored references are.
enum ReferenceFolder {
  /// The environment variable that names the folder.
  static let variable = "VBENCH_REFERENCES"

  /// The folder that the environment names, else `References` in the current folder, in one above the executable,
  /// in `share/vbench` beside the executable's folder, or in the checkout that the executable was built from.
  ///
  /// - Throws: `FileError.missingInput` where the folder that is named is none, or where there is none at all, with all places.
  static func locate(
    environment: [String: String] = ProcessInfo.processInfo.environment, places: [String] = places
  ) throws -> String {
    if let path = environment[variable], !path.isEmpty {
      guard isReferences(path) else {
        throw FileError.missingInput(
          path: path, reason: "\(variable) names it, and no \(manifest) of references is there")
      }
      return path
    }
    if let found = places.first(where: isReferences) { return found }
    let looked = places.map { "\n  \($0)" }.joined()
    throw FileError.missingInput(
      path: "References",
      reason: "no folder of references is where one may be; --references DIR or \(variable) names one. "
        + "Looked for:\(looked)")
  }

  /// Where the folder is looked for, the first first.
  static var places: [String] {
    var places = ["References"]
    var folder = Executable.folder
    places.append(folder.deletingLastPathComponent().appending(path: "share/vbench/References").path)
    while folder.path.count > 1 {
      places.append(folder.appending(path: "References").path)
      folder.deleteLastPathComponent()
    }
    // …/Sources/VbenchCLI/SupportReferences.swift
    let source = URL(fileURLWithPath: #filePath)
    let checkout = source.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let own = checkout.appending(path: "References").path
    return places.contains(own) ? places : places + [own]
  }

  private static let manifest = "MANIFEST.sha256"

  private static func isReferences(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(path)/\(manifest)")
  }
}

/// The file that this process runs.
enum Executable {
  /// Its folder, links resolved; what the first argument says is no path where a shell found the file by PATH.
  static var folder: URL {
    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return URL(fileURLWithPath: link ?? CommandLine.arguments.first ?? "").resolvingSymlinksInPath()
      .deletingLastPathComponent()
  }
}
