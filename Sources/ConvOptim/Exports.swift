// Variables, which optimizers change, and tensors.
@_exported import ConvAutograd
@_exported import ConvCore
