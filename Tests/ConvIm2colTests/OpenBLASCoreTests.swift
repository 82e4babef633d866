#if OpenBLAS
  import ConvCore
  import Testing

  @testable import ConvIm2col

  /// The choice carried out with the library at hand. The gate is closed from the first change of the core to the last, so that no
  /// other test's products meet another core.
  @Suite(.serialized) struct OpenBLASCoreTests {
    /// Runs `body` with the core in use as `core`, if the library has it, and takes the one before into use again.
    private func with<R>(_ core: String, _ body: () throws -> R) rethrows -> R? {
      try OpenBLASGate.shared.whileClosed { _ in
        let before = OpenBLASCoreControl.core
        defer {
          _ = OpenBLASCoreControl.change(to: before)
          #expect(OpenBLASCoreControl.core == before)
        }
        guard OpenBLASCoreControl.change(to: core) == .done else { return nil }
        return try body()
      }
    }

    /// A library that was built for one core.
    private static let isFixed = OpenBLASGate.shared.whileClosed { _ in
      OpenBLASCoreControl.change(to: OpenBLASCoreControl.core) == .fixed
    }

    /// The cores that the library has and this CPU runs.
    private var cores: [OpenBLASCores.Core] {
      OpenBLASCores.all.filter { core in
        OpenBLASCores.runs(core.name, on: .current) && with(core.name) {} != nil
      }
    }

    /// With every core of the library as its own choice: values decide here, and no time.
    @Test(.disabled(if: isFixed, "this OpenBLAS has one core only"))
    func everyCoreOfTheLibrary() {
      let cores = cores
      #expect(!cores.isEmpty)
      let best = cores.filter(\.isCandidate).map(\.level).max() ?? .base
      for core in cores {
        let found = with(core.name) {
          let choice = OpenBLASConfiguration.automatic(
            confirm: { _ in OpenBLASConfirmation.isRight() ? nil : "wrong" },
            takeOwn: { OpenBLASCoreControl.change(to: core.name) })
          return (choice, OpenBLASCoreControl.core, OpenBLASConfirmation.isRight())
        }
        guard let (choice, used, isRight) = found else {
          Issue.record("\(core.name) is gone")
          continue
        }
        #expect(used == choice.core && isRight, "\(core.name): \(used) is in use after \(choice)")
        if core.level >= best {
          #expect(choice.core == core.name && choice.replaced == nil, "\(choice)")
        } else {
          #expect(OpenBLASCores.named(choice.core)?.level == best, "\(core.name): \(choice)")
          #expect(choice.replaced == core.name, "\(choice)")
        }
        #expect((choice.warning == nil) == (best >= VectorLevel.cpu), "\(choice)")
      }
    }

    /// Where every core is refused, OpenBLAS's own choice is in use in the end.
    @Test(.disabled(if: isFixed, "this OpenBLAS has one core only"))
    func refusedCoresAreLeft() {
      for core in cores where core.level < VectorLevel.cpu {
        var levels: [VectorLevel?] = []
        let found = with(core.name) {
          let choice = OpenBLASConfiguration.automatic(
            confirm: { level in
              levels.append(level)
              return "no core will do"
            }, takeOwn: { OpenBLASCoreControl.change(to: core.name) })
          return (choice, OpenBLASCoreControl.core)
        }
        #expect(found?.0.core == core.name && found?.1 == core.name, "\(String(describing: found))")
        #expect(
          levels.allSatisfy { $0.map { $0 > core.level } == true }
            && levels == levels.compactMap { $0 }.sorted(by: >), "\(core.name): \(levels)")
        #expect(found?.0.reason.contains("no core will do") == !levels.isEmpty)
      }
    }

    /// Every core as an own choice of a name that means nothing, and that no change takes: confirmed where it is in use, kept or
    /// replaced, and in use again where nothing else will do.
    @Test(.disabled(if: isFixed, "this OpenBLAS has one core only"))
    func unknownOwnChoice() {
      for core in cores {
        func choose(isFixed: Bool = false, _ confirm: (String) -> String?) -> (OpenBLASCoreChoice, [String])?
        {
          var confirmed: [String] = []
          return with(core.name) {
            let choice = OpenBLASConfiguration.automatic(
              confirm: { level in
                let used = OpenBLASCoreControl.core
                #expect((level == nil) == confirmed.isEmpty, "its own level is not known")
                confirmed.append(used)
                return confirm(used)
              },
              coreName: {
                OpenBLASCoreControl.core == core.name ? "Nonesuch" : OpenBLASCoreControl.core
              },
              takeOwn: {
                let outcome = OpenBLASCoreControl.change(to: core.name)
                return isFixed ? .fixed : outcome
              })
            return (choice, confirmed + [OpenBLASCoreControl.core])
          }
        }
        for isFixed in [false, true] {
          let kept = choose(isFixed: isFixed) { _ in nil }
          #expect(kept?.0.core == "Nonesuch" && kept?.0.warning == nil, "\(String(describing: kept))")
          #expect(kept?.1 == [core.name, core.name], "\(String(describing: kept))")
          let left = choose(isFixed: isFixed) { _ in "no core will do" }
          #expect(left?.0.core == "Nonesuch" && left?.1.last == core.name, "\(String(describing: left))")
          #expect(left?.0.warning?.contains("no core will do") == true, "\(String(describing: left))")
          #expect(!isFixed || left?.1.count == 2, "\(String(describing: left))")
        }
        // The variable may decide which core of the best level it is.
        let best = cores.filter { $0.isCandidate && $0.level > .base && $0 != core }.map(\.level).max()
        let replaced = choose { $0 == core.name ? "it is slow" : nil }
        #expect(
          replaced.flatMap { OpenBLASCores.named($0.0.core)?.level } == best,
          "\(String(describing: replaced))")
        #expect(
          replaced?.1.last == (best == nil ? core.name : replaced?.0.core), "\(String(describing: replaced))")
      }
    }

    /// A library that cannot change its core is never asked to.
    @Test(.disabled(if: isFixed, "this OpenBLAS has one core only"))
    func fixedLibrary() {
      for core in cores {
        let choice = with(core.name) {
          OpenBLASConfiguration.automatic(
            confirm: { _ in
              Issue.record("\(core.name): nothing can be confirmed")
              return nil
            }, takeOwn: { .fixed })
        }
        #expect(
          choice?.core == core.name && choice?.origin == "its only core", "\(String(describing: choice))")
      }
    }

    /// Values first; then at most twice the time of our own kernel, less where the level is not known.
    @Test func verdicts() {
      func refusal(_ isRight: Bool, _ seconds: Double) -> String? {
        OpenBLASConfirmation.refusal(isRight: isRight, seconds: seconds, ownSeconds: 1e-3)
      }
      #expect(refusal(true, 0.9e-3) == nil && refusal(true, 1.9e-3) == nil)
      #expect(refusal(true, 2.1e-3) == "it takes more than 2.0 times the time of our own kernel")
      let narrower = OpenBLASConfirmation.refusal(
        isRight: true, seconds: 1.9e-3, ownSeconds: 1e-3,
        allowedRatio: OpenBLASConfirmation.allowedRatioUnknown)
      #expect(narrower == "it takes more than 1.4 times the time of our own kernel")
      #expect(refusal(true, .infinity) != nil && refusal(true, .nan) != nil)
      #expect(refusal(false, 0.5e-3) == "its product differs from our own kernel's")
    }
  }
#endif
