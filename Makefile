# `make` lists the recipes. Everything is built in the release profile, once: the demo, the tests, the benchmarks, and for `make check`
# the dependencies' C code too (the dev profile would compile librdkafka and zstd a second time).

SHELL := /bin/bash
CARGO ?= cargo
ROWS ?= 200000
KILLS ?= 20
# Tests wait for servers: with two at once two cores rest for a fifth of the time.
TEST_THREADS ?= 4
MINUTES ?= 10
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-kafka stack test chaos soak connect-compare bench check docs-pages fmt clean-demo

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building needs (the tests' servers too: scripts/setup.sh test)
	@scripts/setup.sh build

build: setup ## the binary, target/release/lakefeed
	@$(CARGO) build --release

demo: build ## the whole pipeline on an embedded cluster and a local lake (ROWS=200000)
	@target/release/lakefeed demo --rows $(ROWS)

demo-kafka: build ## the same on a real Kafka and MinIO, started for it
	@scripts/setup.sh test
	@tests/stack/run.sh scripts/demo-kafka.sh target/release/lakefeed --rows $(ROWS)

stack: ## start Kafka, MinIO and a Schema Registry, print how to reach them, stop on Ctrl-C
	@scripts/setup.sh test
	@tests/stack/run.sh

test: ## every test, on a real Kafka, a real MinIO and the real DuckDB
	@scripts/setup.sh test
	@RUST_TEST_THREADS=$(TEST_THREADS) tests/stack/run.sh $(CARGO) test --release --workspace --no-fail-fast

chaos: ## kill, freeze and stop sinks before a store that misbehaves; every row once (KILLS=20, CHAOS_SEED to replay, OUTAGE_SECONDS=30)
	@scripts/setup.sh test
	@KILLS=$(KILLS) BOUNCES=9 tests/stack/run.sh $(CARGO) test --release --test e2e -- chaos:: outage:: cluster::bounces --nocapture --include-ignored --test-threads=1

soak: ## the lake writer's simulation with fresh seeds and chaos, in turn (MINUTES=10)
	@scripts/setup.sh test
	@MINUTES=$(MINUTES) tests/stack/run.sh scripts/soak.sh

connect-compare: build ## every REST call against Apache Kafka Connect and Lakefeed (alone, cluster, passwords), as tables
	@scripts/setup.sh test
	@tests/stack/run.sh tests/connect/run.sh target/release/lakefeed

bench: ## every figure beside its target, as a table (BENCH="--only w1,w4 --runs 3"; BENCH=--help)
	@scripts/setup.sh test
	@$(CARGO) build --release --workspace --all-targets
	@tests/stack/run.sh target/release/lakefeed-bench $(BENCH)

check: setup ## formatting, lints as errors, documentation
	@scripts/check.sh

docs-pages: build ## write the reference pages, docs/keys
	@mkdir -p docs/keys
	@for page in worker transforms $$(target/release/lakefeed plugins | cut -d ' ' -f 1); do target/release/lakefeed plugins $$page --markdown >docs/keys/$$page.md; done

fmt: ## format the code
	@$(CARGO) fmt --all

clean-demo: ## remove the lake of `make demo`
	@rm -rf demo
