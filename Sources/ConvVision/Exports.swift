// Tensors, which images are.
@_exported import ConvCore
