import ConvCore
import ConvTestSupport
import Foundation
import Testing

@testable import ConvHarness

/// Peers and whatever they start end with us, and answers do not take for ever.
@Suite struct PeerGroupTests {
  /// A peer that starts a child which never ends, and one that ignores SIGTERM; `answer` is shell for every request but the first.
  private func withPeer(_ answer: String, _ body: (_ command: String, _ folder: String) throws -> Void) throws
  {
    try withTemporaryFolder { folder in
      try AtomicFile.write(
        """
        sleep 1000 & echo $! >> \(folder)/pids
        sh -c 'trap "" TERM; exec sleep 1000' & echo $! >> \(folder)/pids
        read -r line
        echo '{"peer": "a\\u001b[31mb", "version": "1|2", "configurations": ["plain"]}'
        while read -r line; do
          \(answer)
        done
        """, to: folder + "/peer.sh")
      try body("sh \(folder)/peer.sh", folder)
    }
  }

  private func areGone(_ folder: String) throws -> Bool {
    let pids = try InputFile.text(of: folder + "/pids").split(separator: "\n")
    #expect(pids.count == 2)
    return pids.allSatisfy { !ProcessState.isAlive($0) }
  }

  private let task = PeerTask(
    problem: try! ConvProblem(parsing: "conv2d:n1c2h4w4k2r1s1"), pass: .forward, threads: 1, seed: 1,
    configuration: "plain", filterState: .fresh)

  @Test func whatAPeerStartedEndsWithIt() throws {
    try withPeer("exit 3") { command, folder in
      do {
        let peer = try PeerProcess(command: command)
        #expect(throws: PeerError.self) { try peer.values(task, at: [0]) }
      }
      #expect(try areGone(folder))
    }
  }

  @Test(arguments: ["echo '{\"error\": \"no\"}'", "sleep 1000", "exec sleep 1000"])
  func theWholeGroupEnds(_ answer: String) throws {
    try withPeer(answer) { command, folder in
      do {
        let peer = try PeerProcess(command: command, timeLimit: 2)
        #expect(peer.identity.name == "a\\u{1b}[31mb" && peer.identity.version == "1|2")
        #expect(throws: PeerError.self) { try peer.values(task, at: [0]) }
      }
      #expect(try areGone(folder))
    }
  }

  /// A peer is asked no longer than it may take, and one that is gone is not waited for, though what it started holds its streams.
  @Test func answersHaveATimeLimit() throws {
    for (answer, words) in [
      ("echo waiting >&2; sleep 1000", "did not answer in 0.500 seconds"), ("exit 3", "exit status 3"),
      ("kill -9 $$", "exit status 137"),
    ] {
      try withPeer(answer) { command, _ in
        let peer = try PeerProcess(command: command, timeLimit: words.contains("0.5") ? 0.5 : 1e4)
        let error = #expect(throws: PeerError.self) { try peer.values(task, at: [0]) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains(words), "\(answer): \(text)")
        #expect(text.contains("  waiting") == answer.contains("waiting"), "\(text)")
      }
    }
  }

  /// A request that is longer than a pipe, to a peer that does not read, is given up too.
  @Test func requestsHaveATimeLimit() throws {
    try withPeer("sleep 1000") { command, _ in
      let peer = try PeerProcess(command: command, timeLimit: 0.5)
      let error = #expect(throws: PeerError.self) { try peer.values(task, at: Array(0..<200_000)) }
      #expect(error.map { "\($0)".contains("did not answer in 0.500 seconds") } == true)
    }
  }

  /// More words than a pipe holds do not keep a peer from answering.
  @Test func wordsAreTakenMeanwhile() throws {
    let many =
      "i=0; while [ $i -lt 3000 ]; do echo 'a line of more than fifty characters, again and again' >&2; i=$((i+1)); done; "
    try withPeer(many + "echo '{\"error\": \"no\"}'") { command, _ in
      let peer = try PeerProcess(command: command)
      for _ in 0..<2 {
        let error = #expect(throws: PeerError.self) { try peer.values(task, at: [0]) }
        #expect(error.map { "\($0)" } == "no")
      }
    }
  }

  @Test func whoAsksMayStop() throws {
    do {
      _ = try PeerProcess(command: "sleep 1000", shouldStop: { true })
      Issue.record("it has answered")
    } catch PeerError.interrupted {}
  }
}
