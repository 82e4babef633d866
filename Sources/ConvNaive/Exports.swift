// Tensors, problems and the protocol of backends.
@_exported import ConvCore
