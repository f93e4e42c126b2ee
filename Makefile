# SPDX-License-Identifier: GPL-2.0-or-later
# Everything a developer does here, from a machine that has only Python >= 3.11 (with pip and venv) and make.
# The environment is made when it is first needed and again when its requirements change.
# Change a setting like this: make run SCENARIO=scenarios/staged.yaml OUT=/tmp/out
# An interpreter that is named has an environment of its own: make test PYTHON=python3.13 works in .venv-3.13.

PYTHON   ?=
VERSION  := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none))
VENV     ?= .venv$(addprefix -,$(VERSION))
SCENARIO ?= scenarios/is-it-necessary.yaml
OUT      ?= out
OPS      ?= 1000000
POINTS   ?= 100000
SEED     ?=
ROWS     ?=
ROUNDS   ?= 3
REV      ?= 6861c5a
JSON     ?=
MARKDOWN ?=
KERNEL_OPTIONS ?=
TIME     ?= 1m
N        ?= 400
SHARD    ?= 1/1
BUDGET   ?= 60
WORKERS  ?= auto
TESTS    ?= gmemsim tests

PY  = $(VENV)/bin/python
PIP = $(PY) -m pip install -qq --disable-pip-version-check --constraint constraints.txt

# Rooms of which every line and branch is executed, or has its reason beside it.
WHOLE = gmemsim/xarray/*,gmemsim/host/*,gmemsim/gmem/*,gmemsim/sim/*

# The tests of the rooms that are compiled, of whole runs and of recorders.
COMPILED_TESTS = tests/test_compiled.py tests/test_identity.py tests/test_leaks.py tests/xarray tests/host tests/gmem tests/test_run.py tests/test_recorders.py tests/test_regions.py

# Options of both benchmarks; BIG=1 adds rows of a million conversions.
BENCH = --rows '$(ROWS)' --rounds $(ROUNDS) $(if $(BIG),--big) $(if $(JSON),--json $(JSON)) $(if $(MARKDOWN),--markdown $(MARKDOWN))

# What ruff reads; notebooks are formatted, and their lines may end in a value.
SOURCES = gmemsim tests docs
FORMATTED = $(SOURCES) notebooks

.PHONY: help run test long test-compiled quick fast wheel dist audit lint types imports dead bench bench-compare cluster oracle kernel fuzz mutants notebooks docs clean
.DEFAULT_GOAL := help

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.installed ## simulate SCENARIO (default: the question that started it all) into OUT
	@echo "== run: simulating $(SCENARIO)"
	@$(PY) -m gmemsim run $(SCENARIO) --out $(OUT) --force
	@echo "plot:      $(OUT)/plot.png, $(OUT)/plot.svg"
	@echo "summary:   $(OUT)/summary.json"
	@echo "timeline:  $(OUT)/timeline.jsonl"

test: lint types imports dead ## style, types, import rules, dead code; all tests, examples and notebooks with coverage
	@echo "== test: pytest, with coverage"
	@$(PY) -m coverage erase
	@GMEMSIM_PURE=1 $(PY) -m coverage run -m pytest -n $(WORKERS) -m "not long" $(TESTS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --format=total | sed 's/^/== coverage: per cent of lines and branches: /'
	@$(PY) -m coverage report >$(VENV)/coverage.txt || { tail -n 1 $(VENV)/coverage.txt; exit 1; }
	@$(PY) -m coverage report --include='$(WHOLE)' --fail-under=100 --show-missing >$(VENV)/coverage-whole.txt || \
	  { cat $(VENV)/coverage-whole.txt; exit 1; }

long: $(VENV)/.installed-dev ## the tests that say the same as others about something larger, without coverage
	@echo "== long: pytest"
	@GMEMSIM_PURE=1 $(PY) -m pytest -n $(WORKERS) -m long $(TESTS)

quick: $(VENV)/.installed-dev ## only the tests in TESTS (default: all), without coverage; those of make long aside
	@echo "== quick: pytest $(TESTS)"
	@$(PY) -m pytest -n $(WORKERS) -m "not long" $(TESTS)

fast: $(VENV)/.installed-dev ## compile the core with mypyc; GMEMSIM_PURE=1 switches the compiled form off
	@echo "== fast: mypyc"
	@$(PY) -m gmemsim.compiled.build

test-compiled: fast ## the tests of the compiled rooms, compiled
	@echo "== test-compiled: pytest"
	@GMEMSIM_COMPILED=required $(PY) -m pytest -n $(WORKERS) $(COMPILED_TESTS)

wheel: $(VENV)/.installed-dev $(if $(COMPILED),fast) ## build a wheel into dist: of pure Python, or with COMPILED=1 for this platform
	@echo "== wheel: $(if $(COMPILED),for this platform,pure Python)"
	@GMEMSIM_WHEEL=$(if $(COMPILED),compiled,pure) $(PY) -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls -t dist/*.whl | head -n 1

dist: $(VENV)/.installed-dev ## build sdist and pure wheel into dist, twice, and check both; run tests from the sdist
	@echo "== dist: sdist and wheel"
	@$(PY) -m tests.dist dist

audit: $(VENV)/.installed-dev ## look for known vulnerabilities in the pinned versions, where the network is there
	@echo "== audit: pip-audit"
	@$(PIP) pip-audit || { echo "audit: not done: pip-audit could not be installed" >&2; exit 2; }
	@$(PY) -m tests.audit

lint: $(VENV)/.installed-dev ## check the style, the format and the complexity of the code
	@echo "== lint: ruff"
	@$(PY) -m ruff check $(SOURCES)
	@$(PY) -m ruff format --check $(FORMATTED)

types: $(VENV)/.installed-dev ## check the types
	@echo "== types: mypy --strict"
	@$(PY) -m mypy

imports: $(VENV)/.installed-dev ## check that imports between the layers point down only
	@echo "== imports: import-linter"
	@$(VENV)/bin/lint-imports --no-logo

dead: $(VENV)/.installed-dev ## look for code that nothing uses and that is no public entry
	@echo "== dead: vulture"
	@$(PY) -m vulture

bench: $(VENV)/.installed-dev ## measure the speed of ROWS (a pattern; default all), in CPU time; JSON=FILE, ROUNDS=3, BIG=1
	@echo "== bench: this tree, pure and compiled"
	@$(PY) -m tests.bench $(BENCH)

bench-compare: $(VENV)/.installed-dev ## measure the git revision REV and this tree in turn; MARKDOWN=PAGE puts the table there
	@echo "== bench-compare: $(REV) and this tree"
	@$(PY) -m tests.bench $(BENCH) --compare $(REV)

cluster: $(VENV)/.installed-dev ## sweep POINTS (default 100,000) on a local Dask cluster, one worker of which is killed half-way
	@echo "== cluster: $(POINTS) points"
	@GMEMSIM_CLUSTER_POINTS=$(POINTS) $(PY) -m pytest -q --timeout=0 tests/test_cluster.py

oracle: $(VENV)/.installed-dev ## compare OPS random tree operations with the kernel's own lib/xarray.c
	@echo "== oracle: building the kernel's xarray"
	@tests/oracle/build.sh
	@echo "== oracle: comparing $(OPS) operations"
	@$(PY) -m tests.oracle.compare --ops $(OPS) $(if $(SEED),--seed $(SEED))

kernel: $(VENV)/.installed-dev ## boot a packaged kernel (or KERNEL_IMAGE) in an emulator and compare what it does with ours
	@echo "== kernel: getting a kernel"
	@tests/kernel/build.sh
	@echo "== kernel: booting it twice"
	@$(PY) -m tests.kernel.compare $(if $(SEED),--seed $(SEED)) $(KERNEL_OPTIONS)

fuzz: $(VENV)/.installed-dev ## look for crashes of every reader for TIME (default 1m), and for broken laws as long; SEED=1
	@echo "== fuzz: every reader, for $(TIME)"
	@$(PY) -m tests.fuzz.readers --time $(TIME) $(if $(SEED),--seed $(SEED)) --out $(OUT)/crashes
	@echo "== fuzz: random scenarios, for $(TIME)"
	@$(PY) -m gmemsim fuzz --time $(TIME) $(if $(SEED),--seed $(SEED))

mutants: $(VENV)/.installed-dev ## put N small mistakes (0: all) into the lower rooms and see which the tests find; SEED=1 SHARD=1/1
	@echo "== mutants: $(N) of them"
	@$(PIP) --no-deps cosmic-ray==8.7.0
	@GMEMSIM_PURE=1 $(PY) -m tests.mutants --n $(N) --shard $(SHARD) --budget $(BUDGET) $(if $(SEED),--seed $(SEED)) --out $(OUT)/mutants

notebooks: $(VENV)/.installed-dev ## execute the notebooks and store what they show
	@echo "== notebooks: nbmake"
	@$(PY) -m tests.notebooks

docs: $(VENV)/.installed-dev ## build the documentation into build/docs, with its pictures and the reference, without a network
	@echo "== docs: pictures"
	@$(PY) -m tests.docs.pictures
	@echo "== docs: sphinx"
	@$(PY) -m sphinx -q -W --keep-going -c docs -b html . build/docs
	@echo "site:      build/docs/index.html"

clean: ## remove the environment, outputs and caches
	@echo "== clean: removing environments, $(OUT) and caches"
	@rm -rf .venv .venv-* $(VENV) $(OUT) .coverage .coverage.* build dist gmemsim/compiled/lib .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	@find gmemsim tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that was interrupted half-way has no stamp and is made anew.
$(VENV)/.created:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "== set-up: environment $(VENV) with $$python"; \
	    "$$python" -m venv --clear $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "set-up: no Python >= 3.11 found; name one: make PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	@echo "== set-up: installing gmemsim into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "== set-up: installing gmemsim and the tools for development into $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
