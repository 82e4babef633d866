import ConvCore
import ConvNN
import ConvNaive
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Groups, ratios, CSV and Markdown of comparisons.
@Suite struct ComparisonReportTests {
  private func row(
    _ backend: String, own: [Double], peers: [Double], problem: String = "conv2d:n1c32h8w8k8r3s3p1",
    pass: ConvPass = .forward, threads: Int = 1
  ) throws -> ComparisonRow {
    let parsed = try ConvProblem(parsing: problem)
    var row = ComparisonRow(
      suite: "s", problem: problem, name: "a", group: ComparisonGroup(parsed, pass), pass: pass.rawValue,
      backend: backend, threads: threads, filterState: "fresh", peer: identity)
    row.set(own: own, peers: peers, configuration: "plain", seed: 1)
    row.verification = Verification(.passed, reason: "")
    row.peerVerification = Verification(.passed, reason: "")
    return row
  }

  private let identity = PeerIdentity(name: "other", version: "1.0", configurations: ["plain", "fancy"])

  @Test(arguments: [
    ("conv2d:n1c32h8w8k8r3s3p1", ConvPass.forward, ComparisonGroup.dense3x3),
    ("conv2d:n1c31h8w8k8r3s3p1", .forward, .other), ("conv2d:n1c32h8w8k8r3s3u2p1", .forward, .other),
    ("conv2d:n1c32h8w8k8r3s3u2p1", .backwardData, .stridedData),
    ("conv2d:n1c8h8w8k8r1s1u2", .backwardData, .stridedData),
    ("conv2d:n1c8h8w8k8r1s1u2", .forward, .pointwise),
    ("conv2d:n1c3h8w8k8r3s3p1", .forward, .first), ("conv2d:n1c3h8w8k8r3s3u2p1", .backwardData, .first),
    ("conv2d:n1c8h8w8k8r5s5p2", .backwardFilter, .dense5x5), ("conv2d:n1c8h8w8k8r7s7p3", .forward, .medium),
    ("conv2d:n1c8h16w16k8r15s15p7", .forward, .medium), ("conv2d:n1c8h16w16k8r17s17p8", .forward, .other),
    ("conv2d:n1c8h32w32k8r31s31p15", .forward, .large), ("conv2d:n1c8h8w8k8r3s3p1g8", .forward, .depthwise),
    ("conv2d:n1c64h8w8k64r3s3p1g2", .forward, .other), ("conv2d:n1c8h8w8k8r3s5p1", .forward, .other),
    ("conv2d:n1c32h9w9k8r3s3p2l2", .forward, .other),
  ])
  func layersHaveTheirGroup(_ text: String, _ pass: ConvPass, _ group: ComparisonGroup) throws {
    #expect(ComparisonGroup(try ConvProblem(parsing: text), pass) == group)
  }

  @Test func ratiosArePeersTimeOverOurs() throws {
    let row = try row("a", own: [1, 2, 1, 1], peers: [3, 4, 4, 3])
    let ratio = try #require(row.ratio)
    // Of four rounds Student's interval, e^(mean logarithm ± 3.182 · its error).
    #expect(ratio.ratio == 3 && ratio.verdict == .faster)
    #expect(abs(ratio.low - 1.850) < 0.01 && abs(ratio.high - 4.583) < 0.01, "\(ratio)")
    #expect(row.ratioOfMinima == 3)
    let csv = ComparisonRow.csv([row]).split(separator: "\n").map {
      $0.split(separator: ",").map(String.init)
    }
    #expect(csv.count == 2 && csv[0].first == "suite")
    for (column, value) in [
      ("group", "3x3 s1 C>=32"), ("pass", "forward"), ("threads", "1"), ("peer", "other"),
      ("peer_version", "1.0"), ("peer_configuration", "plain"), ("rounds", "4"), ("min_ms", "1000"),
      ("peer_min_ms", "3000"), ("ratio", "3"),
    ] {
      // Empty fields vanish in this split: the header has its place, the value is found in the row.
      #expect(csv[0].contains(column) && csv[1].contains(value), "\(column) \(value): \(csv[1])")
    }
  }

  @Test func meansAreGeometricByGroupThreadsAndEngine() throws {
    var report = ComparisonReport(environment: [("CPU", "a|b")], command: "c", date: "d", peer: identity)
    report.rows = [
      try row("a", own: [1], peers: [2]), try row("b", own: [1], peers: [4]),
      try row("a", own: [1], peers: [8], pass: .backwardData),
      try row("b", own: [1], peers: [1], pass: .backwardData), try row("a", own: [1], peers: [3], threads: 2),
    ]
    var declined = try row("b", own: [], peers: [], threads: 2)
    declined.verification = Verification(.unsupported, reason: "no | such")
    report.rows.append(declined)
    func mean(_ backend: String, _ threads: Int) -> ComparisonReport.Mean? {
      report.means.first { $0.backend == backend && $0.threads == threads && $0.group == .dense3x3 }
    }
    let a = try #require(mean("a", 1))
    #expect(abs(a.geometricMean - 4) < 1e-12 && a.rows == 2 && a.least == 2 && a.greatest == 8)
    #expect(abs((mean("b", 1)?.geometricMean ?? 0) - 2) < 1e-12)
    let best = try #require(mean(ComparisonReport.best, 1))
    #expect(abs(best.geometricMean - 32.squareRoot()) < 1e-12 && best.rows == 2)
    #expect(mean("b", 2) == nil && abs((mean("a", 2)?.geometricMean ?? 0) - 3) < 1e-12)
    let text = report.markdown
    for words in [
      "| 3x3 s1 C>=32 | 1 | `a` | 2 | **4.00** | 2.00 | 8.00 |", "| CPU | a\\|b |",
      "other 1.0 (plain, fancy)",
      "- b, s a forward, 2 threads: unsupported, no \\| such", "| too few rounds |",
    ] {
      #expect(text.contains(words), "'\(words)' is missing in\n\(text)")
    }
    #expect(!report.hasFailures)
    report.rows[0].peerVerification = Verification(.failed, reason: "")
    #expect(report.hasFailures)
  }

  /// Both sides' bits, and whose verdict the deterministic bound decided.
  @Test func bothSidesHaveTheirBits() throws {
    var first = try row("a", own: [1], peers: [2])
    first.verification.effectiveBits = 21.5
    first.verification.isCorrelated = true
    first.peerVerification.effectiveBits = .infinity
    let lines = ComparisonRow.csv([first]).split(separator: "\n").map { $0.components(separatedBy: ",") }
    let cells = zip(lines[0], lines[1]).suffix(4).map { "\($0) \($1)" }
    #expect(
      cells == ["effective_bits 21.5", "correlated true", "peer_effective_bits inf", "peer_correlated false"])
    var report = ComparisonReport(environment: [], command: "c", date: "d", peer: identity)
    report.rows = [first, try row("b", own: [1], peers: [2])]
    #expect(report.markdown.contains("error_bound_worst decided. Rows: 1 of ours.\n"), "\(report.markdown)")
    report.rows[0].verification.isCorrelated = false
    #expect(!report.markdown.contains("error_bound_worst"))
  }

  /// A chooser's rows count beside the peer, and it is never the best engine.
  @Test func choosersAreNotTheBestEngine() throws {
    var report = ComparisonReport(environment: [], command: "c", date: "d", peer: identity)
    var chooser = try row("picker", own: [1], peers: [8])
    chooser.role = .chooser
    report.rows = [try row("a", own: [1], peers: [2]), try row("b", own: [1], peers: [4]), chooser]
    #expect(report.means.map(\.backend) == ["picker", "a", "b", ComparisonReport.best])
    for (mean, expected) in zip(report.means, [8.0, 2, 4, 4]) {
      #expect(abs(mean.geometricMean - expected) < 1e-12, "\(mean)")
    }
    #expect(report.markdown.contains("what counts beside the peer is what `picker` chose"))
    let roles = ComparisonRow.csv(report.rows).split(separator: "\n").map {
      $0.components(separatedBy: ",").dropLast(4).last
    }
    #expect(roles == ["role", "engine", "engine", "chooser"])
    report.rows = [chooser]
    #expect(report.means.map(\.backend) == ["picker"])
    #expect(!report.markdown.contains("`\(ComparisonReport.best)`"))
  }

  /// The peer's configuration with the least median is paired with all engines.
  @Test func thePeersBetterConfigurationCounts() throws {
    try FakePeer.withPeer { peer in
      let comparison = try Comparison(peer: peer, settings: ComparisonSettings())
      var rows = [try row("a", own: [], peers: []), try row("b", own: [], peers: [])]
      let contestants = [
        Comparison.Contestant(row: 1, seconds: { _ in 0 }, samples: [1, 1, 1]),
        Comparison.Contestant(configuration: "slow", seconds: { _ in 0 }, samples: [1, 9, 9]),
        Comparison.Contestant(configuration: "fast", seconds: { _ in 0 }, samples: [3, 4, 5]),
      ]
      comparison.settle(contestants, &rows)
      #expect(rows[1].peerConfiguration == "fast" && rows[1].peers == [3, 4, 5] && rows[1].own == [1, 1, 1])
      #expect(rows[0].own.isEmpty && rows[0].ratio == nil)
    }
  }
}

/// The protocol, against a peer of a few lines of shell.
@Suite struct PeerTests {
  let item = RunItem(
    suite: "s", problem: BenchmarkProblem(try! ConvProblem(parsing: "conv2d:n1c2h4w4k2r1s1"), name: "one"),
    pass: .forward)

  /// Turns rotate, everybody has the same number of them, and the peer is asked for as many repetitions as fill a sample.
  @Test func sidesTakeTurns() throws {
    try FakePeer.withPeer { peer in
      let settings = ComparisonSettings(rounds: 3, secondsPerSample: 0.01, pause: 0, refillSeconds: 0.32e-3)
      let comparison = try Comparison(peer: peer, settings: settings)
      var order: [String] = []
      var contestants = ["a", "b", "c"].map { name in
        Comparison.Contestant(row: 0, configuration: name) { turn in
          order.append("\(name)\(turn.untimed)+\(turn.repetitions)")
          return name == "a" ? 0.002 : 0.0005
        }
      }
      try comparison.takeTurns(&contestants, .pool(threads: 1), .warm) { false }
      #expect(contestants.allSatisfy { $0.samples.count == 3 })
      // Not timed are as many as in `vbench run`: 2⁻⁵ and 2⁻⁷ of 0.32 ms are half a per cent of 2 and of 0.5 ms.
      let (a, b, c) = ("a5+5", "b7+20", "c7+20")
      #expect(order == ["a1+1", "b1+1", "c1+1"] + [a, b, c, b, c, a, c, a, b])
      #expect(comparison.visitPeak.map { $0 > 0 } == true)
    }
  }

  /// A peer that ends while it is timed: what had been measured by then is in the rows.
  @Test func aPeerThatEndsLeavesItsRounds() throws {
    try FakePeer.withPeer { peer in
      let comparison = try Comparison(peer: peer, settings: ComparisonSettings(rounds: 9, pause: 0))
      var rows = [
        ComparisonRow(
          suite: "s", problem: "p", name: "n", group: .other, pass: "forward", backend: "own", threads: 1,
          filterState: "fresh", peer: peer.identity)
      ]
      var left = 4
      var contestants: [Comparison.Contestant] = [
        Comparison.Contestant(row: 0) { _ in 1 },
        Comparison.Contestant(configuration: "declines") { _ in throw PeerError.declined("never") },
        Comparison.Contestant(configuration: "plain") { _ in
          left -= 1
          if left < 0 { throw PeerError.broken(command: "c", reason: "ended", errorOutput: "") }
          return 2
        },
      ]
      try comparison.measure(&contestants, into: &rows, .pool(threads: 1), .warm) { false }
      // One of the four answers was the first look.
      #expect(rows[0].peers == [2, 2, 2] && rows[0].own == [1, 1, 1] && rows[0].ratio?.ratio == 2)
      #expect(comparison.peerEnd.map { "\($0)".contains("ended") } == true)
    }
  }

  /// What takes three times as long as the peer's best is not asked again; our own slow engines are.
  @Test func hopelessConfigurationsOfThePeerAreDropped() throws {
    try FakePeer.withPeer { peer in
      let settings = ComparisonSettings(rounds: 2, secondsPerSample: 0.001, pause: 0)
      var contestants: [Comparison.Contestant] = [
        Comparison.Contestant(row: 0, configuration: "own") { _ in 9 }
      ]
      for (name, seconds) in [("best", 1.0), ("near", 3.0), ("hopeless", 3.1)] {
        contestants.append(Comparison.Contestant(configuration: name) { _ in seconds })
      }
      try Comparison(peer: peer, settings: settings).takeTurns(&contestants, .pool(threads: 1), .warm) {
        false
      }
      #expect(contestants.map(\.configuration) == ["own", "best", "near"])
      #expect(contestants.allSatisfy { $0.samples.count == 2 })
    }
  }

  /// A peer whose results are right is timed, with the times that it says.
  @Test func aRightPeerIsTimed() throws {
    let data = try ProblemData(problem: item.problem.problem, seed: 1)
    let grid = SampleGrid.stratified(item.problem.problem, .forward, seed: 1)
    let values = Expectation(grid: grid, data: data).values
    try FakePeer.withPeer(values: values, seconds: "0.5") { peer in
      #expect(peer.identity == PeerIdentity(name: "fake", version: "1", configurations: ["plain"]))
      // It does not say that it can evict its caches.
      for state in [CacheState.network, .cold] {
        #expect(throws: HarnessError.self) {
          try Comparison(peer: peer, settings: ComparisonSettings(cache: state))
        }
      }
      let comparison = try Comparison(
        peer: peer, settings: ComparisonSettings(rounds: 4, secondsPerSample: 0.001, pause: 0))
      let rows = try comparison.rows(
        for: item, pool: .pool(threads: 1), competitors: [Competitor(NaiveBackend())])
      #expect(rows.count == 1 && rows[0].peerVerification.verdict == .passed, "\(rows)")
      #expect(rows[0].verification.verdict == .passed && rows[0].own.count == 4)
      #expect(rows[0].peers == [0.5, 0.5, 0.5, 0.5] && (rows[0].ratio?.ratio ?? 0) > 1)
    }
  }

  /// An engine that promises support and then throws has failed; the others are timed beside the peer.
  @Test(arguments: BrokenPromiseTests.Throwing.Stage.allCases)
  func brokenPromisesAreFailures(_ stage: BrokenPromiseTests.Throwing.Stage) throws {
    let data = try ProblemData(problem: item.problem.problem, seed: 1)
    let grid = SampleGrid.stratified(item.problem.problem, .forward, seed: 1)
    let values = Expectation(grid: grid, data: data).values
    try FakePeer.withPeer(values: values, seconds: "0.5") { peer in
      let comparison = try Comparison(
        peer: peer, settings: ComparisonSettings(rounds: 2, secondsPerSample: 0.001, pause: 0))
      let rows = try comparison.rows(
        for: item, pool: .pool(threads: 1),
        competitors: [Competitor(BrokenPromiseTests.Throwing(stage: stage)), Competitor(NaiveBackend())])
      #expect(rows.map(\.verification.verdict) == [.failed, .passed])
      #expect(rows[0].verification.reason == "throwing promised support, then: out of order")
      #expect(rows[0].ratio == nil && rows[0].own.isEmpty && rows[1].own.count == 2)
    }
  }

  /// One wrong value, and there is no time.
  @Test func aWrongPeerIsNotTimed() throws {
    let data = try ProblemData(problem: item.problem.problem, seed: 1)
    let grid = SampleGrid.stratified(item.problem.problem, .forward, seed: 1)
    var values = Expectation(grid: grid, data: data).values
    values[3] += 1e-4
    try FakePeer.withPeer(values: values) { peer in
      let comparison = try Comparison(peer: peer, settings: ComparisonSettings(rounds: 2, pause: 0))
      let rows = try comparison.rows(
        for: item, pool: .pool(threads: 1), competitors: [Competitor(NaiveBackend())])
      #expect(rows[0].peerVerification.verdict == .failed, "\(rows[0].peerVerification)")
      #expect(rows[0].ratio == nil && rows[0].own.isEmpty)
    }
  }

  /// What the peer declines is in its rows; the comparison goes on.
  @Test func aPeerMayDecline() throws {
    try FakePeer.withPeer(answer: #"{"error": "too large for me"}"#) { peer in
      let comparison = try Comparison(peer: peer, settings: ComparisonSettings(rounds: 2, pause: 0))
      let rows = try comparison.rows(
        for: item, pool: .pool(threads: 1), competitors: [Competitor(NaiveBackend())])
      #expect(rows[0].peerVerification.verdict == .unsupported)
      #expect(rows[0].peerVerification.reason == "plain: too large for me" && rows[0].ratio == nil)
    }
  }

  /// Training: the fallback runs the layers that the engine would need a lowering for, the label says so, and a peer that does not
  /// train leaves the row without a ratio.
  @Test(arguments: [true, false]) func fallbacksRunWhatIsNotNative(_ strides: Bool) throws {
    let network = ImageNetwork(name: "tiny", side: 8, batch: 2, summary: "") {
      Sequential(
        try Conv2d(3, 4, kernelSize: 3, padding: 1, bias: false), ReLU(),
        try Conv2d(4, 4, kernelSize: 3, stride: strides ? 2 : 1, padding: 1, bias: false), Flatten(),
        try Linear(strides ? 64 : 256, 10))
    }
    // Strides are left to lowerings, or to the fallback.
    let unstrided = FakeBackend("unstrided") { $0.problem.stride == Extent(w: 1) ? nil : "strides" }
    try FakePeer.withPeer { peer in
      let comparison = try Comparison(peer: peer, settings: ComparisonSettings(rounds: 2, pause: 0))
      let rows = try comparison.trainingRows(
        for: TrainingItem(network: network, format: .nchw, fallback: Competitor(NaiveBackend())),
        pool: .pool(threads: 1),
        competitors: [Competitor(unstrided), Competitor(NaiveBackend())])
      #expect(rows.map(\.backend) == [strides ? "unstrided+naive" : "unstrided", "naive"])
      #expect(rows[0].executedBy == (strides ? "naive; unstrided" : "unstrided"))
      #expect(rows.allSatisfy { $0.name == "batch 2" && $0.suite == "tiny" && $0.format == .nchw })
      #expect(rows[0].verification.verdict == .passed && rows[0].ratio == nil)
      #expect(rows[0].peerVerification.verdict == .unsupported)
    }
  }

  /// A training whose losses are not the peer's is not timed: of the first step, or of a later one.
  @Test func trainingsAreComparedStepByStep() throws {
    let network = ImageNetwork(name: "tiny", side: 8, batch: 2, summary: "") {
      Sequential(
        try Conv2d(3, 4, kernelSize: 3, padding: 1, bias: false), ReLU(), Flatten(), try Linear(256, 10))
    }
    func reason(_ answer: String) throws -> (verdict: Verdict, reason: String) {
      var found = Verification(.unsupported, reason: "")
      try FakePeer.withPeer(training: answer) { peer in
        let comparison = try Comparison(
          peer: peer, settings: ComparisonSettings(rounds: 2, pause: 0, times: false))
        let rows = try comparison.trainingRows(
          for: TrainingItem(network: network), pool: .pool(threads: 1),
          competitors: [Competitor(NaiveBackend())])
        found = rows[0].verification
      }
      return (found.verdict, found.reason)
    }
    // Ours, from a peer that says one loss only, and a wrong one.
    let single = try reason(#"{"loss": 9}"#)
    #expect(single.verdict == .failed && single.reason.contains("loss of step 1 is"), "\(single)")
    let first = try #require(
      single.reason.split(separator: " ").compactMap { Double($0.filter { $0 != "," }) }.dropFirst().first)
    #expect(try reason("{\"loss\": \(first)}").verdict == .passed)
    // The same first loss, but nothing learned.
    let stuck = try reason("{\"losses\": [\(first), \(first), \(first), \(first)]}")
    #expect(stuck.verdict == .failed && stuck.reason.contains("loss of step 2 is"), "\(stuck)")
    #expect(throws: PeerError.self) { try reason("{\"losses\": [\(first)]}") }
  }

  /// A peer that answers with losses is not verified beyond them, and row, report and console say so.
  @Test func aTrainingIsNotVerifiedBeyondTheLoss() throws {
    let network = ImageNetwork(name: "tiny", side: 8, batch: 2, summary: "") {
      Sequential(Flatten(), try Linear(192, 10))
    }
    var rows: [ComparisonRow] = []
    try FakePeer.withPeer(training: #"{"loss": 9}"#) { peer in
      rows = try Comparison(peer: peer, settings: ComparisonSettings(rounds: 2, pause: 0, times: false))
        .trainingRows(
          for: TrainingItem(network: network), pool: .pool(threads: 1),
          competitors: [Competitor(NaiveBackend())])
    }
    #expect(
      rows.count == 1 && rows[0].peerVerification.reason == "first loss 9; not verified beyond the loss")
    var report = ComparisonReport(environment: [], command: "c", date: "d", peer: rows[0].peer)
    var layer = rows[0]
    layer.group = .other
    layer.peerVerification = Verification(.passed, reason: "")
    report.rows = [layer]
    #expect(report.trainingNote == nil && !report.markdown.contains("not verified"))
    report.rows += rows
    let note = try #require(report.trainingNote)
    #expect(note.contains("training steps of \(rows[0].peer.name) are not verified beyond the loss"))
    #expect(report.markdown.contains("**\(note)**"))
  }

  /// The first losses agree to rounding, later ones to an eighth of what training changed.
  @Test func lossesAgree() {
    let theirs = [2.0, 1.9, 1.6]
    func differs(_ ours: [Double]) -> String? { LossAgreement.difference(ours, theirs, "plain") }
    #expect(differs([2.0004, 1.911, 1.64]) == nil)
    #expect(differs([2.0006, 1.9, 1.6])?.contains("step 1 is 2.0006, the peer's 2 (plain)") == true)
    #expect(differs([2, 1.914, 1.6])?.contains("step 2") == true)
    #expect(differs([2, 1.9, 1.652])?.contains("step 3") == true)
    #expect(differs([2, .nan, 1.6])?.contains("step 2") == true)
    #expect(LossAgreement.text(theirs) == "losses 2 1.9 1.6" && LossAgreement.text([2]) == "first loss 2")
  }

  @Test func aBrokenPeerIsAnErrorWithItsWords() throws {
    for (answer, words) in [
      ("oops", "no JSON: 'oops'"), (#"{"values": [], "count": 99}"#, "computed 99 results"),
      (#"{"values": [1], "count": 32}"#, "did not answer with"),
    ] {
      try FakePeer.withPeer(answer: answer) { peer in
        let comparison = try Comparison(peer: peer, settings: ComparisonSettings())
        let error = #expect(throws: PeerError.self) {
          try comparison.rows(
            for: item, pool: .pool(threads: 1), competitors: [Competitor(NaiveBackend())])
        }
        #expect("\(String(describing: error))".contains(words), "\(String(describing: error))")
      }
    }
    let error = #expect(throws: PeerError.self) {
      try PeerProcess(command: "echo 'no module named torch' >&2; exit 3")
    }
    let text = "\(error.map { "\($0)" } ?? "")"
    #expect(text.contains("exit status 3") && text.contains("  no module named torch"), "\(text)")
    #expect(throws: PeerError.self) { try PeerProcess(command: "read line; echo '{\"peer\": \"x\"}'") }
  }

  /// Both sides evict as many bytes before each sample, which is then a single execution.
  @Test(arguments: [CacheState.network, .cold]) func bothSidesHaveTheSameCaches(_ state: CacheState) throws {
    try FakePeer.withPeer(settles: true) { peer in
      #expect(peer.identity.settles)
      let settings = ComparisonSettings(
        rounds: 2, secondsPerSample: 0.01, cache: state, pause: 0, refillSeconds: 0.32e-3)
      var turns: [ComparisonTurn] = []
      var contestants = [
        Comparison.Contestant(row: 0) { turn in
          turns.append(turn)
          return 0.002
        }
      ]
      let pool = WorkerPool.pool(threads: 2)
      try Comparison(peer: peer, settings: settings).takeTurns(&contestants, pool, state) { false }
      let bytes = 2 * (CacheEvictor.bytesPerThread(state, caches: .current, threads: 2) ?? 0)
      #expect(bytes > 0)
      let turn = ComparisonTurn(untimed: 5, repetitions: 1, evictBytes: bytes)
      #expect(turns == [ComparisonTurn(), turn, turn])
    }
  }

  /// Every request is one line of JSON with what the peer needs.
  @Test func requestsAreJSON() throws {
    let problem = try ConvProblem(parsing: "conv2d:n2c4h9w8k6r3s5u2x1p0,1,2,3l1x2g2")
    let task = PeerTask(
      problem: problem, pass: .backwardData, threads: 2, seed: 7, configuration: "a\"b",
      filterState: .prepared)
    let json = try JSONValue(parsing: PeerRequest.result(task, indices: [3, 1]).json)
    #expect(json["request"]?.string == "result" && json["indices"]?.integers == [3, 1])
    #expect(json["pass"]?.string == "backward-data" && json["threads"]?.integer == 2)
    #expect(json["seed"]?.integer == 7 && json["configuration"]?.string == "a\"b")
    #expect(json["filter_state"]?.string == "prepared")
    let told = try #require(json["problem"])
    #expect(told["n"]?.integer == 2 && told["c"]?.integer == 4 && told["k"]?.integer == 6)
    #expect(told["groups"]?.integer == 2 && told["input"]?.integers == [9, 8])
    #expect(told["filter"]?.integers == [3, 5] && told["stride"]?.integers == [2, 1])
    #expect(told["output"]?.integers == [problem.output.h, problem.output.w])
    #expect(told["dilation"]?.integers == [1, 2])
    #expect(told["padding"]?.array?.compactMap(\.integers) == [[0, 1], [2, 3]])
    let measure = try JSONValue(
      parsing: PeerRequest.measure(task, ComparisonTurn(untimed: 3, repetitions: 4, evictBytes: 5)).json)
    #expect(measure["untimed"]?.integer == 3 && measure["repetitions"]?.integer == 4)
    #expect(measure["evict_bytes"]?.integer == 5 && measure["pass"]?.string == "backward-data")
    let training = PeerTraining(
      network: "resnet18", batch: 3, image: [3, 32, 32], threads: 1, seed: 2, configuration: "c")
    let train = try JSONValue(
      parsing: PeerRequest.train(training, repetitions: 4, first: true).json)
    #expect(train["first"]?.bool == true && train["network"]?.string == "resnet18")
    #expect(train["batch"]?.integer == 3 && train["image"]?.integers == [3, 32, 32])
    #expect(train["repetitions"]?.integer == 4 && train["configuration"]?.string == "c")
  }
}

/// A peer in shell: says who it is, then gives the same answers again and again.
private enum FakePeer {
  static func withPeer(
    values: [Double] = [], seconds: String = "0.1", answer: String? = nil,
    training: String = #"{"error": "what?"}"#, settles: Bool = false,
    _ body: (PeerProcess) throws -> Void
  ) throws {
    let result = answer ?? "{\"values\": \(values), \"count\": 32}"
    let script = """
      while read -r line; do
        case $line in
          *'"hello"'*) echo '{"peer": "fake", "version": "1", "configurations": ["plain"]\(settles ? ", \"settles\": true" : "")}' ;;
          *'"result"'*) echo '\(result)' ;;
          *'"measure"'*) echo '{"seconds": \(seconds)}' ;;
          *'"train"'*) echo '\(training)' ;;
          *) echo '{"error": "what?"}' ;;
        esac
      done
      """
    try withTemporaryFolder { folder in
      let path = "\(folder)/peer.sh"
      try AtomicFile.write(script, to: path)
      try body(PeerProcess(command: "sh \(path)"))
    }
  }
}
