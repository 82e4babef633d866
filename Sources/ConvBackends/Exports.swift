// All engines, and what they compute on.
@_exported import ConvCore
@_exported import ConvDirect
@_exported import ConvFFT
@_exported import ConvIm2col
@_exported import ConvNaive
@_exported import ConvOneDNN
@_exported import ConvWinograd
