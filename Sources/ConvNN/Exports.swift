// What networks are written with: variables and scopes, tensors, and the engine that runs them unless another one is chosen.
@_exported import ConvAutograd
@_exported import ConvCore
@_exported import ConvIm2col
