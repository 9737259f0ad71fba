# Every target that needs tools makes .venv first; `make test` is what CI runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/.cache/collections
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.cache/collections
STAMP := .venv/.stamp
GATE := $(CURDIR)/.venv/bin/python -m tests.gates

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: $(STAMP) ## Make .venv from the lock and link the collection

$(STAMP): requirements/dev.lock scripts/setup
	scripts/setup

.PHONY: lock
lock: $(STAMP) ## Renew requirements/dev.lock from requirements/*.in
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-header \
	  --annotation-style line --output-file requirements/dev.lock requirements/dev.in

.PHONY: system-packages
system-packages: ## Install the Debian packages that the lab and the tests use (says what is missing when it can't)
	scripts/system-packages

.PHONY: demo
demo: $(STAMP) ## Lab up, traffic on, the real rollback, its report, lab down
	scripts/demo

.PHONY: demo-alert
demo-alert: $(STAMP) ## Requests fail, an alert fires, a rulebook starts triage, requests succeed: nobody types anything
	scripts/demo-alert

.PHONY: lab lab-down
lab: $(STAMP) ## The lab up under traffic, to play with (-i lab), until `make lab-down`
	@python -m tests.lab up --traffic 20
lab-down: $(STAMP) ## The lab down
	@python -m tests.lab down

.PHONY: docs
docs: $(STAMP) ## The documentation site, into .cache/site/html
	@python -m tests.site

TIERS := lint sanity docs-lint build units lab-tests integration faults molecule compat
.PHONY: $(TIERS)
lint: $(STAMP) ## ruff, yamllint, ansible-lint (production), mypy
sanity: $(STAMP) ## ansible-test sanity, every test that can run here, and under the oldest and newest ansible-core
docs-lint: $(STAMP) ## antsibull-docs and antsibull-changelog
build: $(STAMP) ## Build the artifact, install it into an empty path, run from there
units: $(STAMP) ## Unit tests
lab-tests: $(STAMP) ## The lab itself
integration: $(STAMP) ## Real applications, real playbooks
faults: $(STAMP) ## Bad input, kills, locks, failing restarts
molecule: $(STAMP) ## Molecule scenarios: each platform and all together, on real components
compat: $(STAMP) ## Oldest and newest ansible-core that are promised, oldest and newest Python
$(TIERS):
	@$(GATE) $@

.PHONY: test
test: $(STAMP) ## All tiers, with their times
	@$(GATE) all

.PHONY: bench
bench: $(STAMP) ## Time this collection beside the runbook's commands; writes docs/benchmarks.md
	python -m tests.bench --write

.PHONY: fmt
fmt: $(STAMP) ## Format Python and renew the generated option tables
	ruff check --fix-only --quiet .
	ruff format --quiet .
	scripts/role-docs

.PHONY: clean
clean: ## Remove everything that setup and tests made in this tree
	rm -rf .venv .cache .lab .hypothesis .mypy_cache .pytest_cache .ruff_cache .ansible tests/output dualwrite-rollback-*.tar.gz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
