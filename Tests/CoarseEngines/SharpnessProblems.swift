public import ConvCore

/// A few problems that have all kinds of plans among them.
public enum SharpnessProblems {
  /// 3×3, the same with stride 2, 1×1, a first layer, depthwise, dilated, 512 channels, groups, 5×5, 1-D, 3-D, and 9×9.
  public static func few() throws -> [ConvProblem] {
    try [
      "conv2d:n2c16h14w14k24r3s3p1", "conv2d:n1c16h17w15k24r3s3u2p1", "conv2d:n1c64h14w14k48r1s1",
      "conv2d:n1c3h40w40k32r7s7u2p3", "conv2d:n2c24h20w20k24r3s3p1g24", "conv2d:n1c16h20w20k16r3s3p2l2",
      "conv2d:n1c512h7w7k24r3s3p1", "conv2d:n1c32h14w14k32r3s3p1g4", "conv2d:n1c16h20w20k16r5s5p2",
      "conv1d:n2c32w80k32s3p1", "conv3d:n1c8d6h10w10k12t3r3s3p1", "conv2d:n1c8h40w40k8r9s9p4",
    ].map { try ConvProblem(parsing: $0) }
  }
}
