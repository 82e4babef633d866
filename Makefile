# The two commands of a stranger are `make run` and `make test`. Everything else is for those who build vbench.

PACKAGES = libopenblas-dev libfftw3-dev zlib1g-dev dataset-fashion-mnist $(if $(findstring OneDNN,$(TRAITS)),libdnnl-dev)
# Package traits, as in TRAITS=default,OneDNN; nothing means the default ones.
TRAIT_FLAGS = $(if $(TRAITS),--traits $(TRAITS))
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
VBENCH = .build/release/vbench
# SwiftPM passes trait flags in hash order: without this about every other build starts from scratch.
export SWIFT_DETERMINISTIC_HASHING = 1

.PHONY: run test deps release lint format samples mutants references compare wide sharp sanitize fuzz protocol clean

## run: builds in release and runs the default job (under 3 minutes after the build)
run: release
	$(VBENCH) run $(ARGS)

## test: unit, conformance and CLI tests
test: deps
	swift test $(TRAIT_FLAGS) $(ARGS)

## release: the vbench executable, optimised
release: deps
	swift build -c release $(TRAIT_FLAGS) --product vbench

## deps: installs the system packages that are missing (Debian and its relatives)
deps:
	@command -v swift >/dev/null || { echo "swift is not on the PATH; see https://www.swift.org/install" >&2; exit 1; }
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

## lint: formatting and style, as CI checks them
lint:
	swift format lint --strict -r Sources Tests Package.swift
	@! grep -rnE --include='*.swift' '(^|[^.[:alnum:]_])print\(' Sources/VbenchCLI | grep -v '///' || \
	  { echo "standard output has one room: StandardOutput.write, which notices what is not written" >&2; exit 1; }
	swift Tests/Lint/documented-errors.swift
	@! grep -rnE --include='*.swift' '\{ return \}$$' Tests/*Tests || \
	  { echo "what returns early counts as passed: disable it with a reason, or take it out of the arguments" >&2; exit 1; }

## format: applies the formatting
format:
	swift format -i -r Sources Tests Package.swift

## samples: builds and runs the samples of README.md and Documentation; ARGS=README.md:56 chooses
samples: release
	swift build -c release $(TRAIT_FLAGS) --product check-samples
	.build/release/check-samples $(ARGS)

## mutants: builds all faults of Tests/Mutants at once, runs each and demands that the tests turn red
mutants: TRAITS = default,OneDNN
mutants: deps
	swift build --package-path Tests/Mutants/Tool --scratch-path .build/mutants-tool
	.build/mutants-tool/debug/mutants $(ARGS)

## compare: our engines and PyTorch in turn, in some 30 minutes; writes Reports/comparison
COMPARE = --suite Peers/layers.txt --network seed-cnn,resnet18,vgg11 --fallback direct --output Reports/comparison
compare: release
	python3 -m venv .build/peer-venv
	.build/peer-venv/bin/pip install -q -r References/generators/requirements.txt
	$(VBENCH) compare --peer ".build/peer-venv/bin/python Peers/pytorch.py" $(COMPARE) $(ARGS)

## wide: what is too long for every test run, part by part (ARGS="laws faults"); its table is Tests/Wide/RESULTS.md
wide: TRAITS = default,OneDNN
wide: deps
	TRAITS=$(TRAITS) Tests/Wide/parts $(ARGS)

## sharp: verdicts on coarse and on honest engines, in some ten minutes; writes Reports/sharpness. Goes on where it was ended
sharp: TRAITS = default,OneDNN
sharp: deps
	swift build -c release $(TRAIT_FLAGS) --product sharpness-probe
	.build/release/sharpness-probe $(ARGS)

## sanitize: tests of kernels, parsers and the thread pool under the compiler's sanitizers; ARGS=address makes one part
sanitize: deps
	Tests/Sanitize/run $(ARGS)

## fuzz: readers of files on made-up input; ARGS='--seconds 300 safetensors' chooses
fuzz: deps
	Tests/Fuzz/run $(ARGS)

## references: remakes the stored reference numbers (Python, PyTorch; see References/README.md)
references:
	python3 -m venv .build/references-venv
	.build/references-venv/bin/pip install -q -r References/generators/requirements.txt
	.build/references-venv/bin/python References/generators/generate.py --out References

## protocol: generates the code of ONNX's messages again (needs protobuf-compiler)
PROTOBUF = .build/checkouts/swift-protobuf
protocol:
	swift package resolve
	swift build --package-path $(PROTOBUF) --scratch-path .build/protobuf -c release --product protoc-gen-swift
	protoc --plugin=.build/protobuf/release/protoc-gen-swift --swift_opt=Visibility=Internal \
	  --proto_path=Sources/ConvONNX/Protocol --swift_out=Sources/ConvONNX/Protocol onnx.proto

## clean: removes the build folders
clean:
	rm -rf .build .build-sanitize
