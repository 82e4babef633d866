import VbenchCLI

CommandLineTool.run()
