# Each target does its own set-up on a fresh Debian or Ubuntu machine, as root or with sudo; `make help` lists them.

CARGO ?= cargo
# One profile and one set of crates for building, linting and testing: nothing is compiled twice, and what is tested
# is what ships.
RELEASE := --release --locked --workspace
FUZZ := --features sonode-fuzz/fuzz --bin 'fuzz_*'
STAGE := deploy/stage.sh

.PHONY: help build demo test setup-test binaries test-binaries lint fast interop crash fuzz fuzz-targets soak evaluate parity reader-fixtures bench bench-receive bench-analysis gpu clean-peers
.DEFAULT_GOAL := help
# The stages share the cores through cargo; side by side they would only fight for them.
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## set up libtorch, build target/release/sonode and target/release/sonode-worker
	deploy/setup.sh build
	@$(MAKE) --no-print-directory binaries

binaries:
	$(CARGO) build $(RELEASE) --bins

test-binaries:
	$(CARGO) test $(RELEASE) --no-run
	$(CARGO) test $(RELEASE) --test '*' --no-run

demo: build ## the whole path on loopback: a phantom study in, its report out, into demo/
	target/release/sonode demo --out demo

test: setup-test ## set up the peers too, then run every check and every test
	@$(STAGE) lint $(MAKE) --no-print-directory lint
	@$(STAGE) build $(MAKE) --no-print-directory binaries test-binaries
	@$(STAGE) fast $(MAKE) --no-print-directory fast
	@$(STAGE) interop $(MAKE) --no-print-directory interop
	@$(STAGE) crash $(MAKE) --no-print-directory crash
	@$(STAGE) fuzz $(MAKE) --no-print-directory fuzz

setup-test:
	@$(STAGE) setup deploy/setup.sh build test

# The stages of `make test`, one by one; they expect a machine that is set up.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(RELEASE) --all-targets -- -D warnings
	$(CARGO) clippy $(RELEASE) --test '*' -- -D warnings
	$(CARGO) clippy $(RELEASE) $(FUZZ) -- -D warnings

# Everything but the whole-node tests.
fast:
	$(CARGO) test $(RELEASE)

# Whole nodes with DCMTK, Orthanc and pynetdicom around them, a few at a time.
interop: binaries
	$(CARGO) test $(RELEASE) --no-fail-fast --test cli --test counts --test disk --test http --test interop_cart_report \
		--test interop_charset --test interop_commitment --test interop_companions --test interop_ladder --test interop_late \
		--test interop_loop --test interop_misbehaving --test interop_receive --test interop_relay --test interop_report \
		--test interop_states --test share --test unsorted -- --test-threads=2

crash: binaries
	$(CARGO) test $(RELEASE) --no-fail-fast --test aborts --test crash --test hostile --test kills --test load -- --test-threads=2

# Every parser of foreign bytes: its corpus, and then half a minute each of new inputs.
fuzz: fuzz-targets
	tests/fuzz/run.sh 30

fuzz-targets:
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/tests/fuzz/instrument.sh $(CARGO) build $(RELEASE) $(FUZZ)

soak: build fuzz-targets ## the long proofs of reliability, several hours, into tests/RELIABILITY.md
	deploy/setup.sh build test
	tests/soak.sh

evaluate: build ## read held-out phantom cines with the built-in model, into inference/EVALUATION.md; then parity
	target/release/sonode-worker evaluate --threads $$(nproc)
	@$(MAKE) --no-print-directory parity

parity: build ## published networks in the worker and in PyTorch, number by number, into inference/PARITY.md
	deploy/setup.sh parity
	.parity/bin/python inference/parity/parity.py target/release/sonode-worker inference/PARITY.md

reader-fixtures: ## the second reader's parity fixtures anew, with the pinned transformers
	deploy/setup.sh parity
	.parity/bin/python inference/parity/reader_fixtures.py inference/worker/tests/second_reader

bench: bench-receive bench-analysis ## both of the following

bench-receive: build .bench/history ## Sonode and other receivers side by side, and the way of a study to its report, into tests/PERFORMANCE.md
	deploy/setup.sh test bench
	target/release/sonode-bench receive --history .bench/history --out tests/PERFORMANCE.md

# The queue of a node that has finished a million studies.
.bench/history:
	rm -rf $@.part
	SONODE_HISTORY=1000000 SONODE_HISTORY_FOLDER=$(CURDIR)/$@.part $(CARGO) test $(RELEASE) --lib a_long_history
	mv $@.part $@

bench-analysis: build ## an analysis in the worker and in Python side by side, into inference/PERFORMANCE.md
	deploy/setup.sh parity
	inference/bench/compare.py

gpu: ## fetch the CUDA side of libtorch, for a machine with an NVIDIA driver
	deploy/setup.sh build gpu

clean-peers: ## remove the tests' Python peers, and PyTorch
	rm -rf .peers .parity
