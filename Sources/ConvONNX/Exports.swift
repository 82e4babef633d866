// Problems, which models become.
@_exported import ConvCore
