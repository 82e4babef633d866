import ConvCore
import Testing

@Suite struct SmallTransformTests {
  /// Random coefficients in quarters, a third of them zero, so that float32 sums of small integers are exact.
  private func matrix(_ rows: Int, _ columns: Int, _ random: inout PhiloxGenerator) -> [Double] {
    (0..<rows * columns).map { _ in
      random.nextWord() % 3 == 0 ? 0 : Double(Int(random.nextWord() % 17) - 8) / 4
    }
  }

  private func oneAxis<T: ConvScalar>(_: T.Type, _ isa: InstructionSet) {
    for seed in 0..<30 as Range<UInt64> {
      var random = PhiloxGenerator(seed: seed, stream: 1)
      let (rows, columns) = (Int(random.nextWord() % 16) + 1, Int(random.nextWord() % 16) + 1)
      let channels = Int(random.nextWord() % 150)
      let (inputStride, outputStride) = (channels + 3, channels + 1)
      let coefficients = matrix(rows, columns, &random)
      var input = [T](repeating: .nan, count: columns * inputStride)
      for j in 0..<columns {
        for c in 0..<channels { input[j * inputStride + c] = T(Int(random.nextWord() % 33) - 16) }
      }
      var output = [T](repeating: .nan, count: rows * outputStride)
      SmallTransform(rows: rows, columns: columns, coefficients, instructionSet: isa).apply(
        channels: channels, input: input, inputStride: inputStride, output: &output,
        outputStride: outputStride)
      for i in 0..<rows {
        for c in 0..<outputStride {
          let found = output[i * outputStride + c]
          if c >= channels {
            if !found.isNaN { Issue.record("\(isa) \(T.self) seed \(seed): wrote beside row \(i)") }
            continue
          }
          let wanted = (0..<columns).reduce(0.0) {
            $0 + coefficients[i * columns + $1] * Double(input[$1 * inputStride + c])
          }
          if Double(found) != wanted {
            Issue.record(
              "\(isa) \(T.self) seed \(seed) \(rows)×\(columns) [\(i), \(c)]: \(found), not \(wanted)")
          }
        }
      }
    }
  }

  private func twoAxes<T: ConvScalar>(_: T.Type, _ isa: InstructionSet) {
    for seed in 0..<40 as Range<UInt64> {
      var random = PhiloxGenerator(seed: seed, stream: 2)
      func upTo(_ n: Int) -> Int { Int(random.nextWord() % UInt32(n)) + 1 }
      let (lr, lc, rr, rc) = seed == 0 ? (16, 16, 16, 16) : (upTo(10), upTo(10), upTo(10), upTo(10))
      let channels = seed == 1 ? 0 : upTo(40)
      let (l, r) = (matrix(lr, lc, &random), matrix(rr, rc, &random))
      // A window of the tile exists.
      let row0 = Int(random.nextWord()) % lc
      let column0 = Int(random.nextWord()) % rc
      let rows = seed % 2 == 0 ? 0..<lc : row0..<row0 + upTo(lc - row0)
      let columns = seed % 2 == 0 ? 0..<rc : column0..<column0 + upTo(rc - column0)
      let (outRows, outColumns) = seed % 3 == 0 ? (lr, rr) : (upTo(lr), upTo(rr))
      let plane = channels + 5
      var layout = TransformLayout(
        channels: channels, inputRowStride: rc * (channels + 2), inputColumnStride: channels + 2,
        outputRowStride: rr * plane, outputColumnStride: plane)
      layout.rows = rows
      layout.columns = columns
      layout.outputRows = outRows
      layout.outputColumns = outColumns
      layout.prefetchColumns = Int(seed % 4)
      layout.accumulate = seed % 5 == 1
      layout.relu = seed % 7 == 2
      let bias = seed % 4 == 3 ? (0..<channels).map { T($0 % 9 - 4) } : nil
      var input = [T](repeating: .nan, count: lc * layout.inputRowStride)
      for i in rows {
        for j in columns {
          for c in 0..<channels {
            input[i * layout.inputRowStride + j * layout.inputColumnStride + c] = T(
              Int(random.nextWord() % 9) - 4)
          }
        }
      }
      let before = (0..<lr * layout.outputRowStride).map { T($0 % 5) }
      var output = before
      let first = rows.lowerBound * layout.inputRowStride + columns.lowerBound * layout.inputColumnStride
      input.withUnsafeBufferPointer { input in
        SmallTransform(rows: lr, columns: lc, l, instructionSet: isa).apply(
          right: SmallTransform(rows: rr, columns: rc, r, instructionSet: isa), layout,
          input: input.baseAddress! + first, output: &output, bias: bias)
      }
      var wrong = 0
      for i in 0..<lr {
        for j in 0..<rr {
          for c in 0..<plane {
            let at = i * layout.outputRowStride + j * plane + c
            var wanted = Double(before[at])
            if i < outRows, j < outColumns, c < channels {
              if !layout.accumulate { wanted = 0 }
              for p in rows {
                for q in columns {
                  wanted +=
                    l[i * lc + p] * r[j * rc + q]
                    * Double(input[p * layout.inputRowStride + q * layout.inputColumnStride + c])
                }
              }
              if let bias { wanted += Double(bias[c]) }
              if layout.relu { wanted = max(wanted, 0) }
            }
            if Double(output[at]) != wanted { wrong += 1 }
          }
        }
      }
      #expect(
        wrong == 0, "\(isa) \(T.self) seed \(seed): \(wrong) wrong, \(lr)×\(lc), \(rr)×\(rc), \(layout)")
    }
  }

  @Test(arguments: InstructionSet.available)
  func oneAxisEqualsTheSum(_ isa: InstructionSet) {
    oneAxis(Float.self, isa)
    oneAxis(Double.self, isa)
  }

  @Test(arguments: InstructionSet.available)
  func twoAxesEqualTheSumFloat(_ isa: InstructionSet) { twoAxes(Float.self, isa) }

  @Test(arguments: InstructionSet.available)
  func twoAxesEqualTheSumDouble(_ isa: InstructionSet) { twoAxes(Double.self, isa) }

  @Test func reluKeepsNaN() {
    let identity = SmallTransform(rows: 1, columns: 1, [1])
    var layout = TransformLayout(
      channels: 35, inputRowStride: 35, inputColumnStride: 35, outputRowStride: 35, outputColumnStride: 35)
    layout.relu = true
    let input = (0..<35).map { $0 % 2 == 0 ? Float.nan : -1 }
    var output = [Float](repeating: 5, count: 35)
    identity.apply(right: identity, layout, input: input, output: &output)
    for c in 0..<35 { #expect(c % 2 == 0 ? output[c].isNaN : output[c] == 0, "channel \(c): \(output[c])") }
  }
}

@Suite struct ElementwiseTests {
  @Test func passesEqualTheirDefinitions() {
    for (channels, area) in [(1, 1), (3, 49), (16, 64), (70, 300), (65, 131), (0, 5), (5, 0)] {
      let n = channels * area
      // Small integers: every sum is exact. One element more than is used, which must stay as it is.
      let x = (0..<n + 1).map { Float($0 * 7 % 11 - 5) }
      let bias = (0..<channels + 1).map { Float($0 % 5 - 2) }
      let what = "channels \(channels) area \(area)"
      var y = x
      Elementwise.axpy(count: n, 3, x, into: &y)
      #expect(y == x.indices.map { $0 < n ? 4 * x[$0] : x[$0] }, "axpy, \(what)")
      y = x
      Elementwise.relu(count: n, x, into: &y)
      #expect(y == x.indices.map { $0 < n ? max(x[$0], 0) : x[$0] }, "relu, \(what)")
      var dx = x
      Elementwise.reluBackward(count: n, output: x, outputGradient: x.map { $0 + 9 }, into: &dx)
      #expect(dx == x.indices.map { $0 < n ? (x[$0] > 0 ? x[$0] + 9 : 0) : x[$0] }, "relu backward, \(what)")
      y = x
      Elementwise.addBiasNCHW(channels: channels, area: area, bias: bias, into: &y)
      #expect(y == x.indices.map { $0 < n ? x[$0] + bias[$0 / area] : x[$0] }, "bias NCHW, \(what)")
      y = x
      Elementwise.addBiasNHWC(pixels: area, channels: channels, bias: bias, into: &y)
      #expect(y == x.indices.map { $0 < n ? x[$0] + bias[$0 % channels] : x[$0] }, "bias NHWC, \(what)")
      var nchw = bias
      var nhwc = bias
      Elementwise.addSumsNCHW(channels: channels, area: area, x, into: &nchw)
      Elementwise.addSumsNHWC(pixels: area, channels: channels, x, into: &nhwc)
      var (wantedNCHW, wantedNHWC) = (bias, bias)
      for i in 0..<n {
        wantedNCHW[i / area] += x[i]
        wantedNHWC[i % channels] += x[i]
      }
      #expect(nchw == wantedNCHW, "sums NCHW, \(what)")
      #expect(nhwc == wantedNHWC, "sums NHWC, \(what)")
    }
    var out: [Float] = [1, 1]
    Elementwise.relu(count: 2, [.nan, -1], into: &out)
    #expect(out[0].isNaN && out[1] == 0)
    Elementwise.reluBackward(count: 2, output: [.nan, -1], outputGradient: [5, 6], into: &out)
    #expect(out == [5, 0])
  }
}
