import ConvAutograd
import ConvCore
import ConvIm2col

/// The engine that layers run on where no other was chosen: im2col over the package's own matrix kernel, which needs no
/// system library. The only place in this module that names an engine.
enum DefaultBackend {
  /// Touched by every convolution layer: installs the engine once.
  static let installed: Void = ConvolutionContext.installDefault(
    backend: Im2colBackend(multiplier: KernelMatrixMultiplier()))
}
