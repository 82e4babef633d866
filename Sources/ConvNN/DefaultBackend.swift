import ConvAutograd
import ConvCore

/// The engine that layers run on where no other was chosen. The only place in this module that names one.
enum DefaultBackend {
  /// Touched by every convolution layer: installs the engine once.
  static let installed: Void = ()
}
