# `make help` lists the targets. What a target needs (tools, engine, cluster, images) it installs or builds itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
KUBERNETES ?= 1.36.3
CLUSTER_NAME ?= dask-operator
export KUBERNETES

# Made anew when, and only when, what it is made from has changed.
READY := $(VENV)/.ready
$(READY): requirements/bootstrap.txt requirements/dev.txt scripts/bootstrap.py
	@$(PYTHON) -m scripts.bootstrap $(VENV)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(READY) ## Bring up a cluster, the operator and a DaskCluster, and compute something on it
	@$(RUN) scripts.demo --cluster $(CLUSTER_NAME) --kubernetes $(KUBERNETES)

.PHONY: demo-down
demo-down: $(READY) ## Remove what `make demo` brought up, the cluster with it
	@$(RUN) ci cluster down --name $(CLUSTER_NAME)

# What these test is the same in both runs of the suite: they install what they are about themselves.
ONCE := $(patsubst %,--ignore=tests/e2e/test_%.py,cli client health image install monitoring public_chart public_client release seeds upgrade)

.PHONY: test
test: $(READY) lint check ## Run all tests, those on a real cluster included
	@$(RUN) scripts.prepare
	@$(RUN) pytest -n auto -m "not e2e and not gitops and not bench"
	@$(RUN) pytest -m e2e --keep-cluster
	@$(RUN) ci cluster down --name dask-operator-test-fresh
	@$(RUN) pytest -m e2e --single-namespace $(ONCE)

AUTOSCALING_SECONDS ?= 30

.PHONY: test-gitops
test-gitops: $(READY) ## Have Flux and Argo CD sync the tree; AUTOSCALING_SECONDS=600 scales beside them for longer
	@$(RUN) ci gitops-images
	@$(RUN) pytest -m gitops --autoscaling-seconds=$(AUTOSCALING_SECONDS)

.PHONY: cluster
cluster: ## Bring up the local cluster; prints the path of its kubeconfig
	@$(PYTHON) -m ci cluster up --name $(CLUSTER_NAME) --kubernetes $(KUBERNETES)

.PHONY: cluster-down
cluster-down: ## Delete the local cluster
	@$(PYTHON) -m ci cluster down --name $(CLUSTER_NAME)

.PHONY: image
image: $(READY) ## Build the controller image and the demo's Dask image; prints their references and size
	@$(RUN) scripts.images

.PHONY: scan
scan: $(READY) ## Look up the advisories about what is in the controller image; writes build/sbom.json
	@$(RUN) scripts.scan

.PHONY: install
install: $(READY) ## Install the chart of this tree, with its image, into the local cluster
	@$(RUN) scripts.demo --cluster $(CLUSTER_NAME) --kubernetes $(KUBERNETES) --install-only

.PHONY: unit
unit: $(READY) ## Run the tests that do no I/O
	@$(RUN) pytest -n auto -m unit

.PHONY: e2e
e2e: $(READY) ## Run the tests on a real cluster; KEEP_CLUSTER=1 keeps it for the next run
	@$(RUN) pytest -m e2e $(if $(KEEP_CLUSTER),--keep-cluster)

.PHONY: bench
bench: $(READY) ## Measure against the goals, the public operator and bare Pods; ROUNDS=1 for a quick look
	@$(RUN) pytest -m bench -s
	@$(RUN) tests.bench $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: lint
lint: $(READY) ## Check style, types and the layers of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: render
render: $(READY) ## Render everything that is generated
	@$(RUN) scripts.render all

.PHONY: check
check: $(READY) ## Fail when something that is generated is stale
	@$(RUN) scripts.render all --check

.PHONY: lock
lock: $(READY) ## Resolve the hashed requirements anew
	@$(RUN) scripts.lock
