import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvBackends

/// Where profiles are kept.
@Suite struct ProfileStoreTests {
  /// With a name that needs quoting, and prices with more digits than a fit has.
  private var profile: MachineProfile {
    var profile = TestProfile.profile(
      WorkPrices([.products: 0.1 + 0.2, .movedFar: 0.023, .calls: 31, .runs: 1e-7]), name: "a \"b\" \\ ü")
    profile.machine.processor.model = nil
    return profile
  }

  @Test func filesComeBack() throws {
    try withTemporaryFolder { folder in
      var bare = profile
      bare.machine.libraryCore = nil
      bare.machine.processor = ProcessorModel(name: "unknown")
      for profile in [profile, bare] {
        let path = folder + "/p.json"
        try profile.write(to: path)
        let text = try InputFile.text(of: path)
        let read = try MachineProfile(path: path)
        #expect(read == profile && read.hash == profile.hash)
        try read.write(to: path)
        #expect(try InputFile.text(of: path) == text)
        #expect(text.contains("\"format\": \"vbench-profile-1\"") && text.hasSuffix("}\n"))
      }
    }
  }

  @Test func whatIsNoProfileIsRefusedWithThePlace() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/p.json"
      try profile.write(to: path)
      let good = try InputFile.text(of: path)
      let long = String(repeating: " ", count: 1 << 20)
      for (from, to, words) in [
        ("vbench-profile-1", "vbench-profile-2", "found 'vbench-profile-2'"),
        ("\"format\": \"vbench-profile-1\",", "", "found nothing"),
        ("\"products\"", "\"produce\"", "nanoseconds.produce: no such kind"),
        ("\"calls\": 31.0", "\"calls\": -31.0", "nanoseconds.calls is no number of at least 0"),
        ("\"calls\": 31.0", "\"calls\": \"31\"", "nanoseconds.calls is no number of at least 0"),
        ("\"calls\": 31.0", "\"calls\": null", "nanoseconds.calls"),
        ("\"calls\": 31.0", "\"calls\": 1e999", "byte"),
        ("\"nanoseconds\": {", "\"nanoseconds\": [", "byte"),
        ("\"nanoseconds\"", "\"seconds\"", "'nanoseconds' is no object"),
        ("\"family\": 1", "\"family\": \"1\"", "'family' is neither null nor a whole number"),
        ("\"family\": 1", "\"family\": 1.5", "'family' is neither null nor a whole number"),
        ("\"stepping\": 3", "\"stepping\": true", "'stepping'"),
        ("\"avx2\"", "\"avx3\"", "found 'avx3'"), ("\"avx2\"", "2", "'instruction_set' is no string"),
        ("\"cpu\"", "\"gpu\"", "'cpu' is no string"), ("\"vendor\": \"Tests\"", "\"vendor\": 7", "'vendor'"),
        ("\"day\": \"2000-01-02\"", "\"day\": null", "'day' is no string"),
        ("\"name\": ", "\"title\": ", "'name' is no string"),
        ("\"Testwell\"", "5", "'openblas_core' is neither null nor a string"),
        ("\n}\n", "\n", "byte"), (good, "", "byte"), (good, "[]", "a profile is a JSON object"),
        (good, good + long, "1"),
      ] {
        let text = good.replacingOccurrences(of: from, with: to)
        #expect(text != good, "\(from) does not occur")
        try AtomicFile.write(text, to: path)
        do {
          _ = try MachineProfile(path: path)
          Issue.record("\(to) for \(from) was read")
        } catch FileError.malformed(let place, let reason) {
          #expect(place == path && reason.contains(words), "\(to) for \(from): \(reason)")
        }
      }
      do {
        _ = try MachineProfile(path: folder + "/none.json")
        Issue.record("nothing was read")
      } catch FileError.missingInput(let place, _) {
        #expect(place == folder + "/none.json")
      }
    }
  }

  /// XDG Base Directory Specification.
  @Test func theFolderFollowsTheEnvironment() {
    for (environment, folder) in [
      (["XDG_CACHE_HOME": "/c", "HOME": "/h"], "/c/vbench/profiles"),
      (["XDG_CACHE_HOME": "c", "HOME": "/h"], "/h/.cache/vbench/profiles"),
      (["XDG_CACHE_HOME": "", "HOME": "/h"], "/h/.cache/vbench/profiles"),
      (["HOME": "/h"], "/h/.cache/vbench/profiles"), (["HOME": "h"], nil), ([:], nil),
    ] as [([String: String], String?)] {
      #expect(ProfileStore.standard(environment: environment)?.folder == folder, "\(environment)")
    }
    let store = ProfileStore(folder: "/c")
    #expect(store.path(of: TestProfile.zen5Machine) == "/c/amd-epyc-26-2-1-avx512-cooperlake.json")
  }

  @Test func whatIsKeptIsFound() throws {
    try withTemporaryFolder { folder in
      // Folders are made, with all that are above them.
      let store = ProfileStore(folder: folder + "/a/b/profiles")
      #expect(try store.profile(of: profile.machine) == nil)
      #expect(try MachineProfile.find(for: TestProfile.zen5Machine, in: store) == TestProfile.zen5)
      try store.keep(profile)
      #expect(try store.profile(of: profile.machine) == profile)
      #expect(try MachineProfile.find(for: profile.machine, in: store) == profile)
      // Another stepping or library core is another machine.
      var other = profile.machine
      other.processor.stepping = 4
      #expect(try store.profile(of: other) == nil)
      // One file, and what is kept later takes its place.
      var later = profile
      later.prices[.calls] = 62
      try store.keep(later)
      #expect(try store.profile(of: profile.machine) == later)
      var second = later
      second.machine = other
      try store.keep(second)
      let names = try FileManager.default.contentsOfDirectory(atPath: store.folder).sorted()
      #expect(names == [profile.machine.slug, other.slug].map { $0 + ".json" }.sorted())
      #expect(try store.profile(of: profile.machine) == later && store.profile(of: other) == second)
      // What is kept comes before the tables.
      let own = MachineProfile(
        name: "own", machine: TestProfile.zen5Machine, prices: later.prices,
        origin: .calibrated(day: "2000-01-02"))
      try store.keep(own)
      #expect(try MachineProfile.find(for: TestProfile.zen5Machine, in: store) == own)
      #expect(try MachineProfile.find(for: TestProfile.zen5Machine, in: nil) == TestProfile.zen5)
    }
  }

  /// A file that was copied from another machine says so.
  @Test func anotherMachinesFileIsRefused() throws {
    try withTemporaryFolder { folder in
      let store = ProfileStore(folder: folder)
      try profile.write(to: store.path(of: TestProfile.zen5Machine))
      for body in [
        { _ = try store.profile(of: TestProfile.zen5Machine) },
        { _ = try MachineProfile.find(for: TestProfile.zen5Machine, in: store) },
      ] {
        do {
          try body()
          Issue.record("another machine's prices were taken")
        } catch FileError.malformed(let path, let reason) {
          #expect(path == store.path(of: TestProfile.zen5Machine))
          #expect(
            reason == "it is the profile of \(profile.machine), not of \(TestProfile.zen5Machine)")
        }
      }
    }
  }

  /// A file where the folder should be, which stops the superuser too.
  @Test func whatCannotBeWrittenLeavesNothing() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("x", to: folder + "/file")
      for place in [folder + "/file", folder + "/file/below"] {
        do {
          try ProfileStore(folder: place).keep(profile)
          Issue.record("\(place) was written")
        } catch FileError.cannotCreate(let path, let reason) {
          #expect(path.hasPrefix(place) && !reason.isEmpty)
        }
      }
      // The file's own place is taken by a folder.
      let store = ProfileStore(folder: folder + "/profiles")
      try FileManager.default.createDirectory(
        atPath: store.path(of: profile.machine), withIntermediateDirectories: true)
      #expect(throws: FileError.self) { try store.keep(profile) }
      #expect(throws: FileError.self) { try store.profile(of: profile.machine) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder).count == 1)
      #expect(try InputFile.text(of: folder + "/file") == "x")
    }
  }
}
