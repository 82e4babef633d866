// Tensors and backends, which variables and scopes are made of.
@_exported import ConvCore
