import ConvCore

/// Largest |found − expected| over the expected result's rms; infinite where something is not finite.
public func relativeError<T: ConvScalar>(_ found: [T], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  var (worst, squares) = (0.0, 0.0)
  for (a, b) in zip(found, expected) {
    guard a.isFinite else { return .infinity }
    worst = max(worst, abs(Double(a) - b))
    squares += b * b
  }
  return worst == 0 ? 0 : worst / (squares / Double(max(1, expected.count))).squareRoot()
}

/// "12 of 40 differ, first at 3: 5.0 instead of 7.0", or nil.
public func difference<T: ConvScalar>(_ found: [T], _ expected: [Double]) -> String? {
  guard found.count == expected.count else { return "\(found.count) values instead of \(expected.count)" }
  let wrong = found.indices.filter { Double(found[$0]) != expected[$0] }
  guard let first = wrong.first else { return nil }
  return
    "\(wrong.count) of \(found.count) differ, first at \(first): \(found[first]) instead of \(expected[first])"
}

/// Values bit by bit: NaN equals the same NaN, 0 is not −0.
public func bits<T: ConvScalar>(_ values: [T]) -> [UInt64] {
  values.map { ($0 as? Float).map { UInt64($0.bitPattern) } ?? Double($0).bitPattern }
}

/// The elements of a tensor bit by bit, in logical order.
public func bits(_ tensor: Tensor) -> [UInt64] {
  switch tensor.elementType {
  case .float64: bits(tensor.values(as: Double.self))
  default: bits(tensor.values(as: Float.self))
  }
}
