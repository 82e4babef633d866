// Problems and backends, which are verified and measured.
@_exported import ConvCore
