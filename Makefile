# Tools run at pinned versions through `go run`, not through go.mod: the first `make lint` builds the linter (minutes).
LINTER   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 3s
LONG     := ^TestTwoWire|^TestPeer
# Where no Postgres is found, demo, bench and tests unpack the distribution's packages into a cache, and say so. 0 refuses.
export FLOWGATE_FETCH_POSTGRES ?= 1

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/flowgate
	go build -ldflags '-X main.version=$(VERSION)' -o bin/flowgate ./cmd/flowgate

demo: build ## run the whole chain once on this machine; JSON=1 for scripts
	bin/flowgate demo $(if $(JSON),--json)

cluster: build ## rehearse a deployment: three NATS servers, two workers a layer, replaced under load; JSON=1 for scripts
	bin/flowgate cluster $(if $(JSON),--json)

bench: build ## measure the governed chain beside the bare one, then the start (cold, warm) and the memory at rest
	bin/flowgate bench
	go test -run '^$$' -bench '^BenchmarkStart$$' -benchtime 5x ./cmd/flowgate
	go test -run '^$$' -bench . -benchmem ./worker ./worker/metrics ./worker/traces # what observers cost
	go test -run '^$$' -bench '^BenchmarkReservations$$' -benchtime 5s ./worker/postgres
	go test -run '^$$' -bench '^BenchmarkAILayer$$' -benchtime 5000x ./worker/handlers # layer 2 without broker and model

test: postgres lint vet race fuzz ## lint, vet, every test with the race detector, and FUZZTIME (3s) of fuzzing per decoder
	@echo 'make test: passed: lint, vet, tests with the race detector, fuzzing'

postgres: # a part of test: find the programs of a Postgres, or fetch them
	@go run ./cmd/flowgate fetch-postgres

lint: ## run golangci-lint, pinned, with the rules of .golangci.yml
	go run $(LINTER) run ./...

vet: # a part of test
	go vet ./...

race: # a part of test
	go test -race -vet=off -timeout 20m -skip '$(LONG)' ./... # vet has run

# Only our own packages are instrumented: with -fuzz every dependency would be compiled once more, for a guidance through other
# people's code. Vet has run.
fuzz: ## fuzz every decoder for FUZZTIME (3s)
	@bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	folders=$$(grep -rl '^func Fuzz' --include='*_test.go' cmd configs messages pipelines worker | xargs -n 1 dirname | sort -u); \
	go test -vet=off -gcflags='flowgate/...=-d=libfuzzer' -ldflags=-w -c -o "$$bin/" $$(printf './%s ' $$folders); \
	for folder in $$folders; do \
	  test="$$bin/$${folder##*/}.test"; \
	  for target in $$(cd "$$folder" && "$$test" -test.list '^Fuzz' | grep '^Fuzz'); do \
	    for try in 1 2 3; do \
	      said=$$(cd "$$folder" && "$$test" -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir "$$bin/corpus" 2>&1) && break; \
	      if [ $$try = 3 ] || ! grep -q '^    context deadline exceeded' <<< "$$said" || grep -q 'Failing input' <<< "$$said"; then echo "$$said"; exit 1; fi; \
	      echo "again	fuzz	$$folder	$$target	its time was over in the middle of an input, which go calls a failure"; \
	    done; \
	    echo "ok  	fuzz	$$folder	$$target	$(FUZZTIME)"; \
	  done; \
	done

acceptance: ## what is too long for test: an upgrade with two wire versions in flight; backends before an independent model server (node, npm)
	FLOWGATE_ACCEPTANCE=1 go test -count 1 -v -run '$(LONG)' ./cmd/flowgate ./worker/backends

live: ## the contract of backends before real providers, for at most $$0.50: with OPENAI_API_KEY or ANTHROPIC_API_KEY in the environment
	FLOWGATE_LIVE=1 go test -count 1 -v -run '^TestLive' ./worker/backends

chaos: build ## kill, freeze and cut off everything under load, count what was lost: SEED= REQUESTS=500 FAULTS=10 CLUSTER=1; JSON=1
	bin/flowgate chaos $(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(JSON),--json)

load: ## minutes of load, with figures: 200,000 batch requests before a slow backend and one rt request a second; memory after 4 and 10 minutes; a dead backend, one that limits its rate
	FLOWGATE_LONG=1 go test -timeout 60m -count 1 -v -run 'TestACrowd|TestMemoryIsLevel' ./cmd/flowgate
	FLOWGATE_LONG=1 go test -timeout 60m -count 1 -v -run 'TestDeadPrimary|TestCallsWait|Most|Three' ./worker/handlers ./worker/pace

cuts: ## every step cut in both ways, 20 kills with -9 in batches of 1,000 lines
	FLOWGATE_CUTS=all FLOWGATE_KILLS=20 go test -race -timeout 60m -count 1 -run 'Cut|Kill|Outage' ./worker/handlers ./worker/postgres/private ./cmd/flowgate

mutants: ## plant bugs against each rule of the protocol and demand that the tests notice every one
	go test -tags mutants -timeout 60m -count 1 -v ./worker/mutants

cover: ## run the tests and print how much of each function they reach
	go test -coverpkg=./... -coverprofile=coverage.txt ./...
	go tool cover -func=coverage.txt

.PHONY: help build demo cluster bench test postgres lint vet race fuzz acceptance live chaos load cuts mutants cover
