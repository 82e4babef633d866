import ConvCore

extension Calibration {
  /// What is measured: every kind of work at every distance of memory, in layers of the kinds that networks have, small enough that
  /// all of it takes seconds. None of them is a layer of a built-in suite, so that an audit on those says what profiles are worth
  /// elsewhere.
  public static var items: [RunItem] {
    problems.flatMap { text -> [RunItem] in
      guard let problem = try? ConvProblem(parsing: text) else {
        preconditionFailure("'\(text)' is no problem")
      }
      return [MemoryFormat.nhwc, .nchw].flatMap { format in
        ConvPass.allCases.map { pass in
          RunItem(
            suite: "calibration", problem: BenchmarkProblem(problem), pass: pass,
            format: format)
        }
      }
    }
  }

  private static let problems = [
    // Dense 3×3: from the L1 cache to filters beyond the L2.
    "conv2d:n1c24h20w20k40r3s3p1", "conv2d:n1c48h40w40k48r3s3p1", "conv2d:n1c80h24w24k112r3s3p1",
    "conv2d:n1c32h96w96k64r3s3p1", "conv2d:n1c160h12w12k192r3s3p1", "conv2d:n1c320h8w8k320r3s3p1",
    "conv2d:n2c192h14w14k224r3s3p1", "conv2d:n4c48h28w28k64r3s3p1", "conv2d:n1c448h14w14k384r3s3p1",
    "conv2d:n1c640h6w6k640r3s3p1",
    // Strides.
    "conv2d:n1c64h48w48k96r3s3u2p1", "conv2d:n1c192h20w20k288r3s3u2p1",
    // 1×1, plain and with strides.
    "conv2d:n1c48h48w48k160r1s1", "conv2d:n1c224h24w24k80r1s1", "conv2d:n1c320h12w12k640r1s1",
    "conv2d:n1c768h10w10k320r1s1", "conv2d:n4c160h12w12k320r1s1", "conv2d:n1c192h40w40k96r1s1u2",
    "conv2d:n1c640h16w16k448r1s1u2",
    // First layers.
    "conv2d:n1c3h96w96k48r3s3p1", "conv2d:n1c3h160w160k48r7s7u2p3", "conv2d:n1c3h176w176k40r3s3u2p1",
    "conv2d:n1c3h143w143k64r11s11u4p2", "conv2d:n4c3h40w40k24r3s3p1",
    // Larger filters.
    "conv2d:n1c48h24w24k64r5s5p2", "conv2d:n1c112h14w14k96r5s5p2", "conv2d:n1c40h40w40k40r7s7p3",
    "conv2d:n1c48h30w30k64r9s9", "conv2d:n1c24h48w48k24r21s21p10",
    // Depthwise.
    "conv2d:n1c48h80w80k48r3s3p1g48", "conv2d:n1c240h20w20k240r3s3p1g240", "conv2d:n1c672h9w9k672r3s3p1g672",
    "conv2d:n1c120h44w44k120r3s3u2p1g120", "conv2d:n1c336h16w16k336r3s3u2p1g336",
    "conv2d:n1c80h28w28k80r7s7p3g80",
  ]
}
