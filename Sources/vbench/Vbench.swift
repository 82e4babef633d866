import ConvBackends
@main struct Placeholder { static func main() {} }
