import Foundation

/// Whether VBENCH_WIDE=1 asks for what is too long for every test run; `make wide` sets it.
public let isWide = ProcessInfo.processInfo.environment["VBENCH_WIDE"] == "1"

/// Whether a sanitizer with allocation functions of its own is linked in.
public let isSanitized = ["__asan_init", "__tsan_init", "__msan_init"].contains { (name: String) in
  dlsym(nil, name) != nil
}

/// What is said of cases that only `make wide` runs: how many, and which.
public func leftToWide(_ cases: [String]) -> String {
  "\(cases.count) more cases are left to `make wide`: \(cases.joined(separator: ", "))"
}
