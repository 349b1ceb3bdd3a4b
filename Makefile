# weft. As root on Debian 12 with Go: `make demo` shows it, `make test` proves it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/weftfabric/weft/version.Version=$(VERSION)
TOOL    := $(GO) tool -modfile=tools/go.mod
CACHE   := $(CURDIR)/.cache

# What tests need to know: that a missing switch is a failure, and where binaries and the guest's kernel are.
TEST_ENV := WEFT_REQUIRE_OVS=1 WEFT_BIN_DIR=$(CURDIR)/bin WEFT_GUEST_DIR=$(CACHE)/guest

# What the demo and the tests need: a command, and the Debian package that brings it.
NEEDS := ovs-vswitchd:openvswitch-switch ip:iproute2 ping:iputils-ping ethtool:ethtool \
         qemu-system-x86_64:qemu-system-x86 busybox:busybox-static gcc:gcc \
         iptables:iptables tcpdump:tcpdump cpio:cpio wg-quick:wireguard-tools
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the binaries into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: demo
demo: deps guest build ## Run examples/two-tenants in the lab: predicted beside seen
	exec bin/weft lab demo -f examples/two-tenants --nodes 3 --bin-dir bin --guest-dir $(CACHE)/guest

.PHONY: test
test: deps guest build vet lint test-all fuzz-short ## Run every test, those on real Open vSwitch included

# The sandbox has no network, so every module that a test builds comes first.
.PHONY: modules
modules:
	for dir in . bench/peer lab/runtimes/peer audit/kubernetes/oracle; do (cd $$dir && $(GO) mod download); done

.PHONY: test-all
test-all: modules
	$(TEST_ENV) CGO_ENABLED=1 tools/sandbox $(GO) test -race -count=1 -timeout 20m ./...

.PHONY: test-runtimes
test-runtimes: deps guest build modules ## Attach containers through podman and containerd themselves
	$(MAKE) -s deps NEEDS="podman:podman conmon:conmon containerd:containerd ctr:containerd runc:runc"
	$(TEST_ENV) WEFT_RUNTIMES=1 tools/sandbox $(GO) test -count=1 -v -timeout 20m ./lab/runtimes

.PHONY: test-libvirt
test-libvirt: deps guest build modules ## Attach a libvirt domain to a Port
	$(MAKE) -s deps NEEDS="libvirtd:libvirt-daemon virsh:libvirt-clients /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so:libvirt-daemon-driver-qemu"
	$(TEST_ENV) WEFT_LIBVIRT=1 tools/sandbox $(GO) test -count=1 -v -timeout 20m -run TestLibvirt ./lab

.PHONY: test-kernel
test-kernel: deps guest build modules ## Run tests of the lab in a virtual machine, on the datapath and the WireGuard of its kernel
	$(MAKE) -s deps NEEDS="xtables-legacy-multi:iptables bash:bash ldd:libc-bin"
	$(TEST_ENV) WEFT_KERNEL=1 tools/sandbox $(GO) test -count=1 -v -timeout 60m -run TestKernel ./lab

.PHONY: oracle
oracle: deps modules ## Hold policy against outside oracles for an hour: cyclonus, ofproto/trace, mutants of flows
	$(TEST_ENV) WEFT_ORACLE=1 tools/sandbox $(GO) test -count=1 -v -timeout 60m -run 'Cyclonus|Selectors|AddUp' ./audit/kubernetes
	$(TEST_ENV) tools/sandbox $(GO) test -count=1 -v -timeout 60m -run TestThreeWay ./agent/pipeline -rapid.checks=10000
	$(TEST_ENV) WEFT_MUTANTS=600 tools/sandbox $(GO) test -count=1 -v -timeout 60m -run TestMutants ./verify

.PHONY: soak
soak: deps guest build modules ## Hurt labs and clusters for many minutes, and look for what is lost or leaks
	$(TEST_ENV) WEFT_SOAK=1 tools/sandbox $(GO) test -count=1 -v -timeout 60m -run Soak ./lab ./controller

.PHONY: vet
vet: ## Check formatting and run go vet
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...

.PHONY: lint
lint: ## Run golangci-lint
	$(TOOL) golangci-lint run --timeout 10m

FUZZTIME ?= 5s
.PHONY: fuzz-short
fuzz-short: ## Fuzz each target for FUZZTIME
	@while IFS=: read -r file target; do
	  echo "fuzz $$target in $$(dirname $$file) for $(FUZZTIME)"
	  $(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s
	done < <(git grep -oE 'func Fuzz[A-Za-z0-9]+' -- '*_test.go' | sed 's/func //')

.PHONY: bench
bench: deps guest build modules ## Run the benchmarks; with BENCH_PEERS=1 beside OVN, which it installs
	if [ -n "$(BENCH_PEERS)" ]; then
	  $(MAKE) -s deps NEEDS="ovn-northd:ovn-central ovn-controller:ovn-host"
	  export WEFT_BENCH_PEERS=1
	fi
	$(GO) test -run '^$$' -bench . -benchtime 1s $$($(GO) list ./... | grep -v /bench)
	$(TEST_ENV) tools/sandbox $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench

.PHONY: generate
generate: ## Regenerate protobuf code
	mkdir -p $(CACHE)/bin
	$(GO) build -modfile=tools/go.mod -o $(CACHE)/bin/ google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go github.com/bufbuild/buf/cmd/buf
	cd wire/weftpb && PATH="$(CACHE)/bin:$$PATH" buf lint && PATH="$(CACHE)/bin:$$PATH" buf generate

# Installs only what is missing, and asks the package index only then.
.PHONY: deps
deps:
	@missing=""
	for need in $(NEEDS); do command -v "$${need%%:*}" >/dev/null || missing="$$missing $${need#*:}"; done
	[ -z "$$missing" ] && exit 0
	[ "$$(id -u)" = 0 ] || { echo "weft: these packages are missing:$$missing; install them, or run make as root" >&2; exit 1; }
	echo "installing:$$missing"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

# The kernel that the lab's virtual machines boot, unpacked and not installed.
.PHONY: guest
guest: $(CACHE)/guest/vmlinuz
$(CACHE)/guest/vmlinuz:
	@echo "fetching a kernel for the lab's virtual machines"
	tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; chmod 755 "$$tmp"; cd "$$tmp"
	name=$$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $$2; exit }')
	if [ -z "$$name" ]; then apt-get update -qq; name=$$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $$2; exit }'); fi
	apt-get download -qq -o APT::Sandbox::User=root "$$name"
	dpkg-deb -x ./*.deb x
	mkdir -p $(CACHE)/guest
	rm -rf $(CACHE)/guest/modules
	cp -r x/lib/modules $(CACHE)/guest/modules
	cp x/boot/vmlinuz-* $(CACHE)/guest/vmlinuz.new
	mv $(CACHE)/guest/vmlinuz.new $(CACHE)/guest/vmlinuz

.PHONY: clean
clean: ## Remove what the build made
	rm -rf bin $(CACHE)
