import ConvCore
import ConvNaive
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
      progress: { steps.append($0) })
    let (row, refused) = (rows[0], rows[1])
    #expect(row.steps == 3 && row.batch == 1 && row.losses.count == 3 && row.problem.isEmpty)
    // The first step is warm-up.
    #expect(row.forward.count == 2 && row.backward.count == 2 && row.optimizer.count == 2)
    #expect(row.losses.allSatisfy { $0.isFinite && $0 > 0 } && Set(row.losses).count == 3)
    #expect(row.speedup?.verdict == .baseline)
    #expect(refused.problem.contains("nonsense") && refused.forward.isEmpty && refused.losses.isEmpty)
    #expect(refused.speedup == nil)
    // Backend by backend within a step; who has failed is not asked again.
    #expect(
      steps == [
        "seed-cnn, step 1 on naive", "seed-cnn, step 1 on naive[nonsense]", "seed-cnn, step 2 on naive",
        "seed-cnn, step 3 on naive",
      ])
  }

  @Test func aSlowBackendStopsAtItsShare() throws {
    let run = TrainingRun(settings: RunSettings(baseline: "naive", seed: 5), secondsLimit: 0)
    let rows = try run.rows(images(4), competitors: [Competitor(NaiveBackend())])
    // Warm-up, and one that is timed.
    #expect(rows[0].steps == 2 && rows[0].forward.count == 1)
  }
}
