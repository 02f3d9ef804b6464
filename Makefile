# `make` prints help. CI (.ci/run) runs these same words.

GO        ?= go
FUZZTIME  ?= 20s
TAGS      ?= $(shell [ -e /usr/include/seccomp.h ] && echo seccomp)
GOTAGS     = $(if $(TAGS),-tags $(TAGS))
export GOFLAGS ?= -buildvcs=false

.PHONY: help
help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run examples/orders: a real task with its roles, and what each role was allowed
	@$(GO) run $(GOTAGS) ./cmd/remit run examples/orders

.PHONY: build
build: ## build bin/remit
	$(GO) build $(GOTAGS) -trimpath -o bin/remit ./cmd/remit

.PHONY: check
check: ## format, vet, staticcheck, import rule, generated files
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet $(GOTAGS) ./...
	$(GO) tool staticcheck $(if $(TAGS),-tags $(TAGS)) ./...
	$(GO) run ./tools/awsgen -check
	$(GO) run ./tools/coverage -check
	$(GO) test ./internal/imports

.PHONY: generate
generate: ## regenerate internal/api, COVERAGE.md and deps.txt
	$(GO) run ./tools/awsgen
	$(GO) run ./tools/coverage
	$(GO) test ./internal/imports -update

.PHONY: test
test: ## every test; what cannot run here is listed at the end
	./tools/gotest.sh $(GOTAGS) ./...

.PHONY: race
race: ## the tests of what runs concurrently, under the race detector
	$(GO) test $(GOTAGS) -race ./internal/store/... ./internal/gateway/... ./internal/service/... ./internal/agent/engine/... ./internal/agent/acs/... ./internal/agent/logship/...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	./tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## benchmarks: absolute figures are printed, ratios are held
	$(GO) test $(GOTAGS) -count=1 -run '^TestRatio' -v ./internal/bench

.PHONY: cross
cross: ## the binary also builds without cgo, and for macOS and Windows
	CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/remit
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/remit
	CGO_ENABLED=0 GOOS=windows $(GO) build -o /dev/null ./cmd/remit
