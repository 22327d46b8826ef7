# up     build the exporters, start them in the background, say where to look
# down   stop them
# test   everything that CI runs: format, lints, unit tests, golden runs, faults, comparisons with the originals at hand, ARMv7
# test-cgroup2  container-advisor on a real cgroup v2 host in a virtual machine; some three minutes
# bench  the cost tables: these exporters, the originals if they are at hand, and the floor of reading the same files
# build  the static binaries as they are shipped, in target/bin

TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
OUT    := $(or $(CARGO_TARGET_DIR),target)
# Where `up` lets node-exporter and container-advisor listen.
LISTEN            ?= :9100
LISTEN_CONTAINERS ?= :8080

.PHONY: up down test test-cgroup2 bench build

build:
	BUILD_REVISION=$$(git rev-parse --short HEAD 2>/dev/null) BUILD_BRANCH=$$(git branch --show-current 2>/dev/null) \
	RUSTFLAGS="-C target-feature=+crt-static" \
	  cargo build --locked --profile dist --target $(TARGET) -p node-exporter -p container-advisor -p promdiff
	mkdir -p target/bin && cd $(OUT)/$(TARGET)/dist && install node-exporter container-advisor promdiff $(CURDIR)/target/bin/

up: build
	@tests/up node-exporter $(LISTEN) LISTEN; node=$$?; \
	tests/up container-advisor $(LISTEN_CONTAINERS) LISTEN_CONTAINERS && \
	echo "Stop: make down" && exit $$node

down:
	@tests/down

test:
	tests/run

test-cgroup2:
	tests/cgroup2

bench: build
	cargo run --locked --release -p bench -- node
	cargo run --locked --release -p bench -- containers
