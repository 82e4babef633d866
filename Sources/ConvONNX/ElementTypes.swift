/// The types of elements, by their numbers in the format.
enum ElementTypes {
  static let float32: Int32 = 1
  static let uint8: Int32 = 2

  /// Their names from number 1 on.
  private static let names = [
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64",
    "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
    "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2", "float6e2m3",
    "float6e3m2",
  ]

  static func name(_ type: Int32) -> String {
    let index = Int(type) - 1
    return names.indices.contains(index) ? names[index] : "elements of the type \(type)"
  }

  /// Whether division of such numbers rounds.
  static func isInteger(_ type: Int32) -> Bool {
    !["float", "bfloat"].contains { name(type).hasPrefix($0) }
  }
}
