import ConvCore
import Testing

@testable import ConvBackends

@Suite struct BackendRegistryTests {
  @Test func namesAreUniqueAndReadBack() throws {
    #expect(Set(BackendRegistry.names).count == BackendRegistry.all.count)
    var names = ["naive", "im2col", "winograd", "direct"]
    #if FFTW
      names.append("fft")
    #endif
    #if OneDNN
      names.append("onednn")
    #endif
    names.append("auto")
    #expect(BackendRegistry.names == names)
    for backend in BackendRegistry.all {
      let selection = try BackendRegistry.named(backend.name)
      #expect(selection.backend.name == backend.name)
      #expect(selection.variant == nil)
      #expect(selection.description == backend.name)
    }
  }

  /// All others compete.
  @Test func whoChoosesSaysSo() {
    #expect(BackendRegistry.all.filter(\.choosesEngines).map(\.name) == ["auto"])
  }

  /// Who has threads of its own is labelled, and named among the libraries with its version.
  @Test func librariesAreNamed() {
    let libraries = BackendRegistry.libraries
    let own = BackendRegistry.all.filter { $0.threading == .ownThreads }.map(\.name)
    #if OneDNN
      #expect(own == ["onednn"])
      let library = libraries.first { $0.name == "oneDNN" }
      #expect(library?.version.first?.isNumber == true && library?.version.contains("OpenMP") == true)
    #else
      #expect(own.isEmpty && !libraries.contains { $0.name == "oneDNN" })
    #endif
  }

  /// Each says what it runs on and why; whoever runs below the CPU is warned about, and nobody else.
  @Test func librariesSayWhatTheyRunOn() {
    let libraries = BackendRegistry.libraries
    for library in libraries {
      #expect(!library.runsOn.isEmpty && !library.reason.isEmpty && !library.version.isEmpty, "\(library)")
      #expect(library.description == "\(library.name) \(library.version)")
      #expect(library.warning?.hasPrefix("\(library.name) runs ") != false, "\(library)")
    }
    #expect(BackendRegistry.libraryWarnings == libraries.compactMap(\.warning))
    #if OpenBLAS
      let blas = libraries.first { $0.name == "OpenBLAS" }
      #expect(blas?.version.contains(", \(blas!.runsOn) (") == true && blas!.runsOn.hasPrefix("core "))
      #expect(blas?.version.hasSuffix("), 1 thread per worker") == true)
    #endif
  }

  #if FFTW
    /// FFTW's version names what was built into it.
    @Test func fftwIsWhatItWasBuiltFor() {
      func library(_ version: String, _ cpu: VectorLevel) -> LinkedLibrary {
        BackendRegistry.fftw(version: version, cpu: cpu)
      }
      // Debian 12's on the three classes of machine, and one that has everything.
      #expect(library("fftw-3.3.10-sse2-avx", .avx).warning == nil)
      #expect(
        library("fftw-3.3.10-sse2-avx", .avx2).warning
          == "FFTW runs AVX code on a CPU that has AVX2: fft[transform=fftw] may be slower than it could be")
      #expect(library("fftw-3.3.10-sse2-avx", .avx512).warning?.contains("that has AVX-512") == true)
      #expect(library("fftw-3.3.10-sse2-avx-avx2-avx2_128-avx512", .avx512).warning == nil)
      #expect(library("fftw-3.3.10-sse2-avx-avx2-avx2_128", .avx512).warning?.contains("AVX2 code") == true)
      #expect(library("fftw-3.3.10-sse2-avx-avx2-avx2_128-avx512", .avx2).runsOn == "AVX2")
      #expect(library("fftw-3.3.10", .avx).warning != nil && library("fftw-3.3.10", .base).warning == nil)
    }
  #endif

  @Test func variants() throws {
    let selection = try BackendRegistry.named("im2col[gemm=kernel]")
    #expect(selection.backend.name == "im2col")
    #expect(selection.variant == "gemm=kernel")
    #expect(selection.description == "im2col[gemm=kernel]")
    #expect(try BackendRegistry.named("im2col[tile=4x4,points=5/8:3/2]").variant == "tile=4x4,points=5/8:3/2")
  }

  /// A variant that the engine does not know is declined by the engine, with the ones that it has.
  @Test func unknownVariantIsDeclined() throws {
    let selection = try BackendRegistry.named("im2col[gemm=mkl]")
    let problem = try ConvProblem.conv2d(c: 2, h: 6, w: 6, k: 2, r: 3, s: 3)
    let support = selection.backend.support(
      for: ConvOperation(.forward, problem), PlanOptions(variant: selection.variant))
    #expect(support.reason?.contains("gemm=kernel") == true, "\(support)")
  }

  @Test(arguments: [
    "im2col[", "im2col]x[", "im2col[]", "im2col[gemm=kernel", "im2col[a]b", "im2col[a][b]", "im2col[[a]]",
  ])
  func malformedVariants(_ text: String) {
    let error = #expect(throws: ConvError.self, "\(text)") { try BackendRegistry.named(text) }
    guard case .unknownName(let kind, let name, _) = error else {
      Issue.record("\(text): \(String(describing: error))")
      return
    }
    #expect((kind, name) == ("variant text", text) || kind == "backend", "\(text): \(kind) \(name)")
  }

  @Test(arguments: [
    ("imcol", "im2col"), ("Im2Col", "im2col"), ("nave", "naive"), ("winogard", "winograd"), ("", "naive"),
  ])
  func unknownNamesListTheNearestFirst(_ text: String, _ nearest: String) {
    let error = #expect(throws: ConvError.self) { try BackendRegistry.named(text) }
    guard case .unknownName(let kind, let name, let known) = error else {
      Issue.record("\(text): \(String(describing: error))")
      return
    }
    #expect(kind == "backend" && name == text)
    if !text.isEmpty { #expect(known.first == nearest, "'\(text)': \(known)") }
    #expect(Set(known) == Set(BackendRegistry.names))
  }

  @Test func editDistances() {
    for (a, b, distance) in [
      ("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("im2col", "imcol", 1),
      ("winograd", "winogard", 2), ("fft", "fft", 0),
    ] {
      #expect(BackendRegistry.editDistance(a, b) == distance, "\(a) -> \(b)")
    }
  }
}
