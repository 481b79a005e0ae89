# Every target does its own set-up: Python 3.10 or later, git and make are enough.
# Without make: the commands below are what it runs, inside an environment made with
#   python -m venv .venv && .venv/bin/python -m pip install -e ".[dev]"

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-quick cases test-all lint types bundles docs words bench check fmt clean

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(READY)

demo: $(READY)          ## the whole way on a drawn data set, a few minutes on a CPU
	$(BIN)/jobgen demo

test: $(READY)          ## all but the slow tests, real training on the CPU last
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not paddle'
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'paddle and not slow'

test-quick: $(READY)    ## no kernel, no Paddle, no waiting: for every edit, under a minute
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not kernel and not paddle and not waits'

cases: $(READY)         ## answers to folders of inputs: make cases UPLOADS=folder ARCHIVE=ships.zip SETS=folder
	for upload in $(if $(UPLOADS),$(UPLOADS)/*/); do echo "== $$upload"; \
	    $(BIN)/jobgen check "$$upload" $(if $(ARCHIVE),--archive $(ARCHIVE)) || true; done
	for set in $(if $(SETS),$(SETS)/*/*.zip); do echo "== $$set"; \
	    $(BIN)/jobgen check "$$set" || true; done

test-all: $(READY)      ## everything, and how much of the code it reaches
	$(BIN)/python -m pytest --cov=jobgen --cov=jobgen_runtime --cov-report=term --cov-fail-under=82

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

bundles: $(READY)       ## write the committed bundles again
	for job in bundles/*/job.yaml; do $(BIN)/jobgen build "$$job" || exit 1; done

docs: $(READY)          ## write what docs/ takes from rules and catalogue again
	$(BIN)/python -m jobgen.check.table en > docs/rules.md
	$(BIN)/python -m jobgen.check.table zh > docs/rules.zh-CN.md
	$(BIN)/python -m jobgen.catalog.pairings docs/after.md docs/after.zh-CN.md

words: $(READY)         ## sentences of the sources into the Chinese catalogue; names what is not translated
	$(BIN)/python -m tools.words

bench: $(READY)         ## the budgets, as ratios
	$(BIN)/python tests/bench.py

check: lint types       ## everything that only reads
	$(BIN)/python -m tools.words --check
	for job in bundles/*/job.yaml; do $(BIN)/jobgen build "$$job" --check || exit 1; done

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache demo runs
