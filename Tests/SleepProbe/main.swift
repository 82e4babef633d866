import ConvBackends
import ConvHarness
import ConvTestSupport
import VbenchCLI

// The commands of `vbench`, with engines whose durations are known.
BackendRegistry.additional = [
  FakeBackend.sleeping(milliseconds: 1), FakeBackend.sleeping(milliseconds: 5),
]
BuildConfiguration.timesInDebug = true
CommandLineTool.run()
