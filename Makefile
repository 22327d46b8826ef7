# up     build the exporter, start it in the background, say where to look
# down   stop it
# test   everything that CI runs: format, lints, unit tests, golden runs, faults, comparisons with the originals at hand, ARMv7
# bench  the cost table: this exporter, the original if it is at hand, and the floor of reading the same files
# build  the static binaries as they are shipped, in target/bin

TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
OUT    := $(or $(CARGO_TARGET_DIR),target)
LISTEN ?= :9100

.PHONY: up down test bench build

build:
	BUILD_REVISION=$$(git rev-parse --short HEAD 2>/dev/null) BUILD_BRANCH=$$(git branch --show-current 2>/dev/null) \
	RUSTFLAGS="-C target-feature=+crt-static" \
	  cargo build --locked --profile dist --target $(TARGET) -p node-exporter -p container-advisor -p promdiff
	mkdir -p target/bin && cd $(OUT)/$(TARGET)/dist && install node-exporter container-advisor promdiff $(CURDIR)/target/bin/

up: build
	@tests/up target/bin/node-exporter $(LISTEN)

down:
	@tests/down

test:
	tests/run

bench: build
	cargo run --locked --release -p bench -- node
	cargo run --locked --release -p bench -- containers
