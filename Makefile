# The commands of the project. Building needs Go alone. Tests use some outside tools, which `make tools` puts into bin/tools:
# pinned in tools/go.mod, tools/requirements.txt and query/client/typescript; outside CI they skip what is not there.
GO       ?= go
TOOL      = $(GO) tool -modfile=tools/go.mod
FUZZTIME ?= 2s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# A process under the race detector sleeps for a second at its end, unless it is told not to: tests start hundreds.
race: export GORACE ?= atexit_sleep_ms=0

.PHONY: build demo test tools client check race fuzz torture bench figures peers peers-export clean

build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/permanode ./cmd/permanode

demo: build ## a recorded tangle, pulled from an in-process node, proven and served
	exec bin/permanode demo

test: check tools fuzz race ## everything that must pass before a change lands, what ends soonest first; ends with the test summary
	$(GO) test -count=1 -p 3 ./...

tools: ## schemathesis, the TypeScript compiler and promtool, in bin/tools
	sh tools/have.sh || [ "$$CI" != true ]

client: ## the types of the TypeScript client, made of the description of the API
	sh tools/have.sh typescript
	bin/tools/typescript/node_modules/.bin/openapi-typescript query/api/openapi.yaml -o query/client/typescript/api.ts

check: ## format, vet, staticcheck, modules, shape of the house
	@files=$$($(TOOL) gofumpt -l . ) && if [ -n "$$files" ]; then echo "gofumpt differs (go tool -modfile=tools/go.mod gofumpt -w .):"; echo "$$files"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./... ./testdata
	$(TOOL) staticcheck ./...
	$(GO) test -count=1 .

race: ## under the race detector, with smaller counts; ledger is pure and starts no goroutine, its users run it here, and the judge only asks
	$(GO) test -race -p 3 $$($(GO) list ./... | grep -v -e '^permanode/ledger' -e '^permanode/query/judge')

fuzz: ## every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) GO="$(GO)" sh tools/fuzz.sh

torture: ## the long campaigns with full counts; prints its seeds (hours)
	PERMANODE_TORTURE=1 $(GO) test -count=1 -timeout 12h -v -run 'Torture|Crash|Fault|Lies|Kill|Flip|Disk' ./...
	FUZZTIME=20m GO="$(GO)" sh tools/fuzz.sh

bench: ## the benchmarks of single packages
	$(GO) test -run '^$$' -bench . -skip Figures -benchtime 3x ./...

figures: ## ours beside the floors, in one run: the table of docs/performance.md; FIGURES_RECORDS=1000000 for the large one
	$(GO) test -run '^$$' -bench Figures -benchtime 1x -timeout 4h ./cmd/permanode ./query/api

peers: ## search and ingest beside SQLite FTS5 and PostgreSQL 15 (needs a C compiler and its programs): docs/performance.md
	cd bench && $(GO) run -tags sqlite_fts5 . -records $${PEERS_RECORDS:-200000}

peers-export: ## exports over HTTP beside COPY of PostgreSQL 15 and sqlite3 -csv
	cd bench && $(GO) run -tags sqlite_fts5 . -export -records $${PEERS_RECORDS:-1000000}

clean:
	rm -rf bin
