/// Formats that weights come in beside safetensors, by how their files begin.
enum ForeignFile {
  /// What a file that begins so is, and what to do with it; nil where nothing is recognised.
  static func name(_ start: [UInt8]) -> String? {
    let conversion =
      "; in Python with PyTorch, safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW_FILE) writes the "
      + "tensors of a state dictionary as safetensors"
    func begins(_ text: String) -> Bool { start.starts(with: text.utf8) }
    if begins("PK\u{3}\u{4}") || begins("PK\u{5}\u{6}") {
      return "it is a zip archive, as PyTorch's .pt and .pth files are, and no safetensors file" + conversion
    }
    // Protocols 2 to 5 begin with their number; older ones with the opcodes of a dictionary, a list or a global name.
    let isBinary = start.count >= 2 && start[0] == 0x80 && (2...5).contains(start[1])
    if isBinary || ["(dp", "(lp", "}q", "]q", "ccollections\n", "ctorch"].contains(where: begins) {
      return "it is a Python pickle, as PyTorch's older .pt and .pth files are, and no safetensors file"
        + conversion
    }
    if begins("version https://git-lfs") {
      return "it is a Git LFS pointer in the place of the file; 'git lfs pull' fetches it"
    }
    return nil
  }
}
