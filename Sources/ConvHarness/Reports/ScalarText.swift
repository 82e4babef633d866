extension String {
  /// Every such scalar in another text's place, also where it is part of a longer character: a quote with an accent above is one
  /// character to Swift and to Foundation's search, CR LF too, but not to those who read what is written here.
  func replacing(scalar: Unicode.Scalar, with text: String) -> String {
    guard unicodeScalars.contains(scalar) else { return self }
    var result = ""
    for found in unicodeScalars {
      if found == scalar { result += text } else { result.unicodeScalars.append(found) }
    }
    return result
  }
}
