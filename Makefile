# `make stability` and `make test` do everything on a fresh machine; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .venv-benchmark

.PHONY: help stability all test lint format schema lock image antilearning-table test-workflow test-every test-slow test-slurm test-faults benchmark clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch comes first and by its exact pin: what follows then finds it there and asks for no other build.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "homolog: error: $(PYTHON) is $$($(PYTHON) -V 2>&1), but Python 3.11 or newer is needed: run make PYTHON=/path/to/a/newer/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

stability: $(READY) ## build results/figures/stability.pdf
	$(BIN)/snakemake results/figures/stability.pdf

all: $(READY) ## build every experiment whose data come with the packages
	$(BIN)/snakemake

test: lint ## all checks: lint, types, tests
	$(BIN)/python -m pytest -m "not workflow and not every and not slow and not cluster and not faults" --numprocesses auto --maxprocesses 4 --dist worksteal

test-workflow: $(READY) ## what needs all experiments of tests/tiny.yaml: equal bits, staleness, errors of jobs, the report
	$(BIN)/python -m pytest -m "workflow and not slow and not faults" --numprocesses auto --maxprocesses 4 --dist worksteal

test-every: $(READY) ## what `make test` asks some methods, recipes and figures, asked the others; checks of many seconds
	$(BIN)/python -m pytest -m "every and not workflow and not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not cluster and not faults"

test-slurm: $(READY) ## through a real SLURM, which it installs, starts and stops (Debian, as root), other queues and a storage
	$(BIN)/python -m pytest -m cluster tests/cluster

test-faults: $(READY) ## kills at random moments, full disks, damaged files, wrong clocks (best as root on Linux, which may mount)
	$(BIN)/python -m pytest -m faults --numprocesses 2 --dist worksteal tests/faults

benchmark: $(READY) $(BENCH)/.ready ## speed and memory: where the time of `make stability` goes, and beside other libraries
	$(BIN)/python benchmarks/pipeline.py
	$(BENCH)/bin/python benchmarks/reading.py
	$(BENCH)/bin/python benchmarks/pca.py
	$(BENCH)/bin/python -m benchmarks.linear
	$(BENCH)/bin/python benchmarks/matching.py
	$(BENCH)/bin/python benchmarks/similarities.py --kernel-rows 4000
	$(BENCH)/bin/python -m benchmarks.peers.check_saelens
	$(BENCH)/bin/python -m benchmarks.peers.run --out results/benchmarks/peers

# The libraries that homolog is compared with, by exact pins. None of them imports beside the torchvision that one of
# them brings, so it goes.
$(BENCH)/.ready: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	$(BENCH)/bin/pip uninstall --quiet --yes torchvision
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

lint: $(READY) ## ruff, mypy, snakefmt, snakemake --lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

format: $(READY) ## put the code into its layout
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile workflow/rules

schema: $(READY) ## workflow/schemas/config.schema.json from src/homolog/config
	$(BIN)/python -m homolog schema > workflow/schemas/config.schema.json

image: stability ## docs/images/stability.png from the figure (needs pdftoppm)
	pdftoppm -png -r 110 -singlefile results/figures/stability.pdf docs/images/stability

antilearning-table: $(READY) ## docs/antilearning.md from the benchmark's numbers
	$(BIN)/snakemake antilearning
	$(BIN)/python -m homolog antilearning-table results/experiments/antilearning/antilearning.nc > docs/antilearning.md

lock: ## requirements.lock from pyproject.toml, in an environment of its own
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet torch==2.13.0
	$(VENV)-lock/bin/pip install --quiet -e ".[dev]"
	$(VENV)-lock/bin/pip freeze --all --exclude-editable --exclude pip | sed 's/^torch==2.13.0.*/torch==2.13.0/' | grep -vE '^(nvidia-|triton)' > requirements.lock
	rm -rf $(VENV)-lock

clean: ## remove what was built, not the environment
	rm -rf results .snakemake
