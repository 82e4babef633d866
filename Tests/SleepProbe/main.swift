import ConvBackends
import ConvHarness
import VbenchCLI

// The commands of `vbench`, with engines whose durations are known.
BackendRegistry.additional = [SleepingBackend(milliseconds: 1), SleepingBackend(milliseconds: 5)]
BuildConfiguration.timesInDebug = true
CommandLineTool.run()
