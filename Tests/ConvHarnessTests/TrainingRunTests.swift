import ConvCore
import ConvNN
import ConvNaive
import ConvTestSupport
import Testing

@testable import ConvHarness

/// Training steps as `vbench run` measures them.
@Suite struct TrainingRunTests {
  private func images(_ steps: Int) throws -> TrainingImages {
    let stored = try TrainingImages.reference(root: referencesRoot, count: steps)
    // The oracle is slow: one image per step.
    return TrainingImages(
      source: stored.source,
      batches: try stored.batches.map { batch in
        (
          images: try Tensor(
            Array(batch.images.values(as: Float.self).prefix(3 * 32 * 32)), shape: [1, 3, 32, 32]),
          labels: try Tensor(Array(batch.labels.values(as: Int64.self).prefix(1)), shape: [1])
        )
      })
  }

  @Test func stepsAreTimedAndFailuresAreTold() throws {
    let run = TrainingRun(settings: RunSettings(baseline: "naive", seed: 5), secondsLimit: 1000)
    var steps: [String] = []
    let rows = try run.rows(
      images(3), competitors: [Competitor(NaiveBackend()), Competitor(NaiveBackend(), variant: "nonsense")],
      progress: { _, text in steps.append(text) })
    let (row, refused) = (rows[0], rows[1])
    #expect(row.steps == 3 && row.batch == 1 && row.losses.count == 3 && row.problem.isEmpty)
    // The first step is warm-up.
    #expect(row.forward.count == 2 && row.backward.count == 2 && row.optimizer.count == 2)
    #expect(row.losses.allSatisfy { $0.isFinite && $0 > 0 } && Set(row.losses).count == 3)
    #expect(row.speedup?.verdict == .baseline)
    // Declining is no failure.
    #expect(refused.declined.contains("nonsense") && refused.forward.isEmpty && refused.losses.isEmpty)
    #expect(refused.speedup == nil && refused.problem.isEmpty && refused.layers.isEmpty)
    #expect(row.declined.isEmpty)
    let layers = row.layers.map(\.name)
    #expect(layers == ["conv1", "conv2", "conv3", "reshape", "fc1", "fc2", "loss"], "\(layers)")
    #expect(
      row.layers.allSatisfy { $0.forward >= 0 && $0.backward > 0 } && row.layers[0].engine.contains("naive"))
    // Weights, gradients and two moments of 2152258 parameters, and more. What other tests give back to the same pool meanwhile
    // is missing: then it is looked at again.
    var pooled = try #require(row.pooledBytes)
    for _ in 0..<5 where pooled <= 4 * 4 * 2_152_258 {
      let again = try run.rows(images(2), competitors: [Competitor(NaiveBackend())], progress: { _, _ in })
      pooled = try #require(again[0].pooledBytes)
    }
    #expect(pooled > 4 * 4 * 2_152_258)
    #expect(row.residentBytes.map { $0 > 4 * 4 * 2_152_258 } ?? true)
    // Backend by backend within a turn; who has failed is not asked again.
    #expect(
      steps == [
        "seed-cnn, step 1 on naive", "seed-cnn, step 2 on naive", "seed-cnn, step 3 on naive",
        "seed-cnn, step 1 on naive[nonsense]",
      ])
  }

  @Test func aStepThatIsLeftOverBelongsToTheLastTurn() {
    #expect(TrainingRun.turns(of: 0).isEmpty && TrainingRun.turns(of: 1) == [0..<1])
    #expect(TrainingRun.turns(of: 4) == [0..<4] && TrainingRun.turns(of: 5) == [0..<5])
    #expect(TrainingRun.turns(of: 6) == [0..<4, 4..<6] && TrainingRun.turns(of: 9) == [0..<4, 4..<9])
    #expect(TrainingRun.turns(of: 25).last == 20..<25)
  }

  /// The first step of a turn begins with what another backend left in the caches.
  @Test func everyTurnBeginsUntimed() throws {
    let run = TrainingRun(settings: RunSettings(baseline: "naive", seed: 5), secondsLimit: 1000)
    var steps: [String] = []
    let rows = try run.rows(
      images(6), competitors: [Competitor(NaiveBackend()), Competitor(NaiveBackend(), copy: 2)],
      progress: { _, text in steps.append(text) })
    #expect(
      steps.map { $0.replacing("seed-cnn, step ", with: "").replacing(" on naive", with: " ") } == [
        "1 ", "2 ", "3 ", "4 ", "1 #2", "2 #2", "3 #2", "4 #2", "5 ", "6 ", "5 #2", "6 #2",
      ])
    for row in rows { #expect(row.steps == 6 && row.forward.count == 4 && row.losses.count == 6) }
  }

  /// Networks by name, and images that are made to fit them.
  @Test func otherNetworksTrain() throws {
    let network = try #require(ImageNetwork.named("lenet"))
    let images = try TrainingImages.reference(root: referencesRoot, count: 2).fitted(to: network, batch: 2)
    let run = TrainingRun(
      settings: RunSettings(baseline: "naive", seed: 5), secondsLimit: 1000, network: network)
    let rows = try run.rows(images, competitors: [Competitor(NaiveBackend())])
    #expect(rows[0].network == "lenet" && rows[0].steps == 2 && rows[0].batch == 2, "\(rows[0].problem)")
    #expect(rows[0].layers.contains { $0.name == "tanh" } && rows[0].layers.last?.kind == "loss")
  }

  /// The middle of the green channel, or larger images, of the first of each step.
  @Test func imagesFitNetworks() throws {
    let stored = try TrainingImages.reference(root: referencesRoot, count: 2)
    let (images, labels) = stored.batches[1]
    let values = images.values(as: Float.self)
    let small = try stored.fitted(to: #require(ImageNetwork.named("lenet")), batch: 3).batches[1]
    #expect(small.images.shape == [3, 1, 28, 28] && small.labels.shape == [3])
    #expect(small.labels.values(as: Int64.self) == Array(labels.values(as: Int64.self).prefix(3)))
    let cut = small.images.values(as: Float.self)
    for (image, row, column) in [(0, 0, 0), (2, 27, 27), (1, 5, 20)] {
      #expect(
        cut[(image * 28 + row) * 28 + column]
          == values[((image * 3 + 1) * 32 + row + 2) * 32 + column + 2])
    }
    let large = try stored.fitted(to: #require(ImageNetwork.named("vgg11")), batch: 1).batches[1]
    #expect(large.images.shape == [1, 3, 64, 64])
    // Half-pixel centres: the corners are the corners.
    #expect(large.images.values(as: Float.self)[0] == values[0])
    #expect(throws: ConvError.self) { try stored.fitted(to: ImageNetwork.all[0], batch: 65) }
  }

  /// By hand: 32 entries of which every second one is seen, and one that is.
  @Test func distancesCountUnseenEntries() {
    var found = [Double](repeating: 1, count: 16) + [3]
    let expected = [Double](repeating: 1, count: 16) + [4]
    #expect(TrajectoryJudge.distance(expected, expected, sizes: [32, 1]) == 0)
    // √(1 / (32 + 16)).
    #expect(abs(TrajectoryJudge.distance(found, expected, sizes: [32, 1]) - 1 / 48.0.squareRoot()) < 1e-15)
    found[5] = 2
    // √((2·1 + 1) / 48).
    #expect(abs(TrajectoryJudge.distance(found, expected, sizes: [32, 1]) - 0.25) < 1e-15)
  }

  @Test func aSlowBackendStopsAtItsShare() throws {
    let run = TrainingRun(settings: RunSettings(baseline: "naive", seed: 5), secondsLimit: 0)
    let rows = try run.rows(images(4), competitors: [Competitor(NaiveBackend())])
    // Warm-up, and one that is timed.
    #expect(rows[0].steps == 2 && rows[0].forward.count == 1)
  }
}
