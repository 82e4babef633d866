// swift-tools-version: 6.1
import PackageDescription

// SwiftPM compiles debug builds with -O0/-Onone, in which numerical code runs ten to a hundred times
// slower. In a checkout of our own the numerical targets are therefore optimised in debug builds too.
// Unsafe flags are refused in a versioned dependency, so a package that depends on us never sees them.
let isDependency = Context.packageDirectory.contains("/checkouts/")
let fastC: [CSetting] = isDependency ? [] : [.unsafeFlags(["-O3"], .when(configuration: .debug))]
let fastSwift: [SwiftSetting] = isDependency ? [] : [.unsafeFlags(["-O"], .when(configuration: .debug))]

func engine(_ name: String, _ more: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: ["ConvCore"] + more, swiftSettings: fastSwift)
}

let package = Package(
  name: "vbench",
  products: [
    .library(name: "ConvCore", targets: ["ConvCore"]),
    .library(name: "ConvNaive", targets: ["ConvNaive"]),
    .library(name: "ConvIm2col", targets: ["ConvIm2col"]),
    .library(name: "ConvWinograd", targets: ["ConvWinograd"]),
    .library(name: "ConvFFT", targets: ["ConvFFT"]),
    .library(name: "ConvDirect", targets: ["ConvDirect"]),
    .library(name: "ConvOneDNN", targets: ["ConvOneDNN"]),
    .library(name: "ConvBackends", targets: ["ConvBackends"]),
    .library(name: "ConvAutograd", targets: ["ConvAutograd"]),
    .library(name: "ConvNN", targets: ["ConvNN"]),
    .library(name: "ConvOptim", targets: ["ConvOptim"]),
    .library(name: "ConvVision", targets: ["ConvVision"]),
    .library(name: "ConvHarness", targets: ["ConvHarness"]),
    .library(name: "ConvONNX", targets: ["ConvONNX"]),
    .executable(name: "vbench", targets: ["vbench"]),
  ],
  traits: [
    .trait(
      name: "OpenBLAS", description: "The im2col engine multiplies with OpenBLAS (needs libopenblas-dev)"),
    .trait(name: "FFTW", description: "The FFT engine (needs libfftw3-dev)"),
    .trait(name: "OneDNN", description: "Intel's oneDNN as an engine to compare with (needs libdnnl-dev)"),
    .default(enabledTraits: ["OpenBLAS", "FFTW"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
  ],
  targets: [
    // System libraries: a module map and a shim header, nothing else.
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas",
      providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
    .systemLibrary(
      name: "CFFTW", pkgConfig: "fftw3f", providers: [.apt(["libfftw3-dev"]), .brew(["fftw"])]),
    .systemLibrary(name: "CDNNL", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),

    // The core and the engines: arrows point from here to ConvCore only.
    .target(name: "CConvKernels", cSettings: fastC),
    .target(name: "ConvCore", dependencies: ["CConvKernels"], swiftSettings: fastSwift),
    engine("ConvNaive"),
    .target(name: "COpenBLASControl"),
    engine(
      "ConvIm2col",
      [
        .target(name: "COpenBLAS", condition: .when(traits: ["OpenBLAS"])), "COpenBLASControl",
        "CConvKernels",
      ]),
    engine("ConvWinograd", ["CConvKernels"]),
    engine("ConvDirect", ["CConvKernels"]),
    engine("ConvFFT", ["CConvKernels", .target(name: "CFFTW", condition: .when(traits: ["FFTW"]))]),
    engine("ConvOneDNN", [.target(name: "CDNNL", condition: .when(traits: ["OneDNN"]))]),
    .target(
      name: "ConvBackends",
      dependencies: [
        "ConvCore", "ConvNaive", "ConvIm2col", "ConvWinograd", "ConvDirect", "ConvFFT", "ConvOneDNN",
      ]),

    // The layers on top of the protocol; they name no engine, but for the default of ConvNN.
    .target(name: "ConvAutograd", dependencies: ["ConvCore"], swiftSettings: fastSwift),
    .target(
      name: "ConvNN", dependencies: ["ConvAutograd", "ConvCore", "ConvIm2col"], swiftSettings: fastSwift),
    .target(
      name: "ConvOptim", dependencies: ["ConvAutograd", "ConvNN", "ConvCore"], swiftSettings: fastSwift),
    .target(name: "ConvVision", dependencies: ["ConvCore", "CZlib"], swiftSettings: fastSwift),
    .target(
      name: "ConvHarness",
      dependencies: ["ConvCore", "ConvAutograd", "ConvNN", "ConvOptim", "ConvVision"],
      swiftSettings: fastSwift),
    // Convolution layers of ONNX models; the messages' code is generated, and committed.
    .target(
      name: "ConvONNX",
      dependencies: ["ConvCore", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
      exclude: ["Protocol/onnx.proto"]),
    // The command line; its executable is an entry point only, so that tests' executables run the same commands.
    .target(
      name: "VbenchCLI",
      dependencies: [
        "ConvCore", "ConvHarness", "ConvONNX", "ConvBackends", "ConvAutograd", "ConvNN", "ConvOptim",
        "ConvVision",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(name: "vbench", dependencies: ["VbenchCLI"]),

    // Training steps in a process that counts its allocations; no test target links it, so that no other process is counted.
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .executableTarget(
      name: "step-probe",
      dependencies: [
        "CAllocationCounter", "ConvBackends", "ConvNN", "ConvOptim", "ConvAutograd", "ConvCore",
      ],
      path: "Tests/StepProbe"),

    // The probes of the machine's limits, one sample per request: `make wide` runs them in turn with a
    // program of its own.
    .executableTarget(
      name: "limits-probe", dependencies: ["ConvCore", "ConvHarness"], path: "Tests/LimitsProbe"),

    // The commands with engines that sleep for known times beside the others, for the tests of what is measured.
    .executableTarget(
      name: "sleep-probe",
      dependencies: ["VbenchCLI", "ConvBackends", "ConvTestSupport", "ConvHarness"],
      path: "Tests/SleepProbe"),

    // Builds and runs the samples of README.md and of Documentation against the build that it belongs to; .ci/run starts it.
    .executableTarget(name: "check-samples", dependencies: ["ConvTestSupport"], path: "Tests/Samples"),

    // Starts the executable with mutated arguments and files; `make fuzz` runs it.
    .executableTarget(
      name: "fuzz-commands",
      dependencies: ["ConvCore", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Tests/Fuzz/Commands"),

    // Kills it, fills its disk and closes its streams, and looks what it leaves; `make wide ARGS=endings` runs it.
    .executableTarget(
      name: "endings",
      dependencies: [
        "ConvCore", "ConvHarness", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Tests/Endings"),

    // Engines that compute worse than they say, for the tests of verdicts; `make sharp` makes tables with them.
    .target(
      name: "CoarseEngines", dependencies: ["ConvCore", "ConvHarness"], path: "Tests/CoarseEngines",
      swiftSettings: fastSwift),
    .executableTarget(
      name: "sharpness-probe",
      dependencies: [
        "CoarseEngines", "ConvBackends", "ConvCore", "ConvHarness",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Tests/SharpnessProbe"),

    // Tolerances of the layers' and optimizers' tests, derived from the roundings of their formulas.
    .target(
      name: "TestBounds", dependencies: ["ConvCore", "ConvHarness"], path: "Tests/TestBounds",
      swiftSettings: fastSwift),

    // What tests share: fakes of engines and plans, trials on raw memory, cases of kernels, comparisons, the checkout's folders. A plain
    // target, so that probes may use it too.
    .target(
      name: "ConvTestSupport", dependencies: ["CConvKernels", "ConvCore", "ConvNaive", "ConvHarness"],
      path: "Tests/ConvTestSupport", swiftSettings: fastSwift),

    // One test target per source target.
    .testTarget(
      name: "ConvCoreTests",
      dependencies: ["CConvKernels", "ConvCore", "ConvTestSupport", "ConvNaive", "TestBounds"]),
    .testTarget(name: "ConvNaiveTests", dependencies: ["ConvCore", "ConvNaive"]),
    .testTarget(
      name: "ConvIm2colTests",
      dependencies: ["CConvKernels", "ConvCore", "ConvTestSupport", "ConvIm2col", "ConvNaive"]),
    .testTarget(name: "ConvWinogradTests", dependencies: ["ConvCore", "ConvTestSupport", "ConvWinograd"]),
    .testTarget(
      name: "ConvDirectTests", dependencies: ["CConvKernels", "ConvCore", "ConvTestSupport", "ConvDirect"]),
    .testTarget(
      name: "ConvFFTTests", dependencies: ["CConvKernels", "ConvCore", "ConvTestSupport", "ConvFFT"]),
    .testTarget(
      name: "ConvOneDNNTests", dependencies: ["ConvCore", "ConvTestSupport", "ConvHarness", "ConvOneDNN"]),
    .testTarget(name: "ConvBackendsTests", dependencies: ["ConvBackends", "ConvCore", "ConvTestSupport"]),
    .testTarget(
      name: "BackendConformanceTests",
      dependencies: [
        "CoarseEngines", "ConvCore", "ConvTestSupport", "ConvAutograd", "ConvBackends", "ConvHarness",
        "ConvNN",
      ]),
    .testTarget(
      name: "ConvAutogradTests",
      dependencies: ["ConvAutograd", "ConvCore", "ConvTestSupport", "ConvNaive", "TestBounds"]),
    .testTarget(
      name: "ConvNNTests",
      dependencies: [
        "ConvNN", "ConvAutograd", "ConvOptim", "ConvCore", "ConvTestSupport", "ConvNaive", "ConvHarness",
        "TestBounds",
      ]),
    .testTarget(
      name: "ConvOptimTests",
      dependencies: [
        "ConvOptim", "ConvNN", "ConvAutograd", "ConvCore", "ConvTestSupport", "ConvNaive", "ConvHarness",
        "TestBounds",
      ]),
    .testTarget(
      name: "ConvVisionTests", dependencies: ["ConvVision", "ConvCore", "ConvTestSupport", "CZlib"]),
    // What one import brings: files that import no more than a user would.
    .testTarget(
      name: "ImportTests",
      dependencies: ["ConvNN", "ConvOptim", "ConvWinograd", "ConvFFT", "ConvVision", "ConvBackends"],
      swiftSettings: [.enableUpcomingFeature("MemberImportVisibility")]),
    .testTarget(
      name: "ConvHarnessTests",
      dependencies: ["ConvHarness", "ConvBackends", "ConvCore", "ConvTestSupport", "ConvNN", "ConvNaive"]),
    .testTarget(
      name: "ConvONNXTests",
      dependencies: [
        "ConvONNX", "ConvCore", "ConvTestSupport", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ]),
    .testTarget(
      name: "VbenchTests",
      dependencies: [
        "VbenchCLI", "vbench", "sleep-probe", "ConvCore", "ConvTestSupport", "ConvHarness", "ConvBackends",
      ],
      exclude: ["Snapshots"]),
  ],
  swiftLanguageModes: [.v6]
)

// Readers of files under libFuzzer, whose library brings the main function: `make fuzz` builds them, nothing else can.
if Context.environment["VBENCH_FUZZ_BUILD"] != nil {
  package.targets.append(
    .executableTarget(
      name: "fuzz-readers",
      dependencies: ["CZlib", "ConvBackends", "ConvCore", "ConvHarness", "ConvONNX", "ConvVision"],
      path: "Tests/Fuzz/Readers", swiftSettings: [.unsafeFlags(["-parse-as-library"])]))
}
