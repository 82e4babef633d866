import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvCore

/// Work, its prices, and what the core's lowerings add to it.
@Suite struct WorkTests {
  @Test func amountsAddUp() {
    let sum = 2 * (ConvWork([.moved: 3, .calls: 1]) + ConvWork([.moved: 2]))
    #expect(sum == ConvWork([.moved: 10, .calls: 2]))
    #expect(sum[.moved] == 10 && sum[.calls] == 2 && sum[.products] == 0)
    #expect(sum.description == "moved=1.0e1 calls=2.0e0" && ConvWork().description == "")
  }

  @Test func kindsHaveNames() throws {
    for kind in ConvWork.Kind.allCases { #expect(ConvWork.Kind(name: kind.name) == kind) }
    #expect(Set(ConvWork.Kind.allCases.map(\.name)).count == ConvWork.Kind.allCases.count)
    #expect(ConvWork.Kind.libraryProducts.name == "libraryProducts" && ConvWork.Kind(name: "none") == nil)
  }

  /// Four digits of every kind come back.
  @Test func textIsReadBack() throws {
    var work = ConvWork()
    for kind in ConvWork.Kind.allCases { work[kind] = 1.234e5 * Double(kind.rawValue + 1) }
    work[.moved] = 0.25
    work[.calls] = 7
    let read = try #require(ConvWork(text: work.description))
    for kind in ConvWork.Kind.allCases {
      #expect(abs(read[kind] - work[kind]) <= 5e-4 * work[kind], "\(kind)")
    }
    #expect(read.description == work.description)
    #expect(ConvWork(text: "") == ConvWork())
    for text in ["moved", "moved=", "moved=many", "carried=1", "moved=1 =2"] {
      #expect(ConvWork(text: text) == nil, "\(text)")
    }
  }

  @Test func distancesAreKindsOfTheirOwn() {
    for access in ConvWork.Access.allCases {
      let (near, shared, far) = access.kinds
      #expect(near.name == "\(access)" && shared.name == "\(access)Shared" && far.name == "\(access)Far")
    }
  }

  /// An L2 cache, a last-level cache, memory; in between the logarithm shares out.
  @Test(arguments: ConvWork.Access.allCases)
  func distancesHaveAnchors(_ access: ConvWork.Access) throws {
    let (near, shared, far) = access.kinds
    for (footprint, parts) in [
      (1.0, (1.0, 0.0, 0.0)), (0x1p19, (1, 0, 0)), (0x1p22, (0, 1, 0)), (0x1p26, (0, 0, 1)),
      (0x1p40, (0, 0, 1)), (0x1p20, (2.0 / 3, 1.0 / 3, 0)), (0x1p21, (1.0 / 3, 2.0 / 3, 0)),
      (0x1p24, (0, 0.5, 0.5)), (0x1p23, (0, 0.75, 0.25)),
    ] {
      var work = ConvWork()
      work.add(access, 12, of: footprint)
      for (kind, part) in [(near, parts.0), (shared, parts.1), (far, parts.2)] {
        #expect(abs(work[kind] - 12 * part) < 1e-9, "\(footprint): \(work)")
      }
      #expect(abs(ConvWork.Kind.allCases.reduce(0) { $0 + work[$1] } - 12) < 1e-9, "\(footprint)")
    }
    // Nowhere does more memory cost less, and no price jumps.
    let prices = WorkPrices([near: 1, shared: 2, far: 5])
    var last = 0.0
    for step in 0...80 {
      var work = ConvWork()
      work.add(access, 1, of: 0x1p18 * Double.pow2(Double(step) / 8))
      let price = prices.nanoseconds(work)
      #expect(price >= last - 1e-9 && (step == 0 || price - last < 0.15), "\(step): \(price) after \(last)")
      last = price
    }
  }

  /// Channels of planes are found on as many lines, which meet in one set of a cache where planes are whole pages, and lie on as many
  /// pages where channels are many.
  @Test func imagesAreReadAsTheyLie() {
    func work(_ format: MemoryFormat, channels: Int, planeBytes: Int) -> [ConvWork.Kind: Double] {
      var work = ConvWork()
      work.addImage(format, 1, channels: channels, planeBytes: planeBytes, of: 1)
      return Dictionary(
        uniqueKeysWithValues: ConvWork.Kind.allCases.filter { work[$0] != 0 }.map { ($0, work[$0]) })
    }
    #expect(work(.nhwc, channels: 512, planeBytes: 4096) == [.moved: 1])
    #expect(work(.nchw, channels: 64, planeBytes: 4100) == [.reordered: 1])
    #expect(work(.nchw, channels: 15, planeBytes: 8192) == [.reordered: 1])
    #expect(work(.nchw, channels: 16, planeBytes: 8192) == [.gathered: 4])
    #expect(work(.nchw, channels: 127, planeBytes: 4100) == [.reordered: 1])
    #expect(work(.nchw, channels: 128, planeBytes: 4100) == [.gathered: 3])
  }

  /// Vectors hold half as many doubles; bytes are bytes.
  @Test func float64DoublesArithmeticOnly() {
    let arithmetic: Set<ConvWork.Kind> = [
      .products, .implicitProducts, .libraryProducts, .windows, .transforms, .plainTransforms, .fourier,
      .spectralProducts, .libraryTransforms, .modelled,
    ]
    for kind in ConvWork.Kind.allCases {
      let (work, prices) = (ConvWork([kind: 3]), WorkPrices([kind: 5]))
      #expect(prices.nanoseconds(work) == 15)
      let factor = arithmetic.contains(kind) ? 2.0 : 1
      #expect(prices.nanoseconds(work, elementType: .float64) == factor * 15, "\(kind)")
    }
    let prices = WorkPrices([.products: 2, .moved: 0.5])
    #expect(prices.nanoseconds(ConvWork([.products: 10, .moved: 4, .calls: 9])) == 22)
    #expect(WorkPrices().nanoseconds(ConvWork([.products: 10])) == 0)
  }

  /// What is counted is what is executed: each group, slice and piece as often as it runs, with its copies.
  @Test(arguments: [
    ("conv2d:n1c12h9w9k8r3s3p1g4", 4.0), ("conv2d:n2c12h9w9k8r3s3p1g4", 4.0), ("conv2d:n3c3h9w9k4r3s3", 1.0),
  ])
  func groupsCountAsOftenAsTheyRun(_ text: String, _ times: Double) throws {
    let engine = FakeBackend("single", passes: [.forward]) { $0.problem.groups == 1 ? nil : "one group" }
    let problem = try ConvProblem(parsing: text)
    let operation = ConvOperation(.forward, problem)
    let work = try engine.work(for: operation)
    #expect(work == (try engine.plan(for: operation).work))
    let single = try engine.work(
      for: ConvOperation(
        .forward,
        try ConvProblem(
          spatialRank: 2, n: problem.n, c: problem.cPerGroup, k: problem.kPerGroup, input: problem.input,
          filter: problem.filter, stride: problem.stride, padding: problem.padding,
          dilation: problem.dilation)))
    #expect(work[.modelled] == times * single[.modelled] && single[.modelled] > 0)
    // One image's groups lie together: nothing is copied.
    let copied = work[.moved] + work[.movedShared] + work[.movedFar]
    #expect((copied > 0) == (problem.n > 1 && times > 1), "\(work)")
  }
}

extension Double {
  /// 2 to this power, by repeated roots.
  fileprivate static func pow2(_ exponent: Double) -> Double {
    var (result, rest, root) = (1.0, exponent, 2.0)
    while rest >= 1 { (result, rest) = (result * 2, rest - 1) }
    for _ in 0..<40 {
      (root, rest) = (root.squareRoot(), rest * 2)
      if rest >= 1 { (result, rest) = (result * root, rest - 1) }
    }
    return result
  }
}
