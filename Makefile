# Each target sets up what it needs: a virtual environment in .venv with the
# pinned packages of requirements.txt and this package. Once it is there, that
# takes no time. Another interpreter is chosen with `make test PYTHON=...`.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
# What is installed is compiled afterwards: pip would do it on one core, in half of its time.
PIP := $(BIN)/python -m pip install --quiet --no-compile

DEMO := results/demo
DEMO_FILES := tests/samples/demo/noisy_*.flac
DEMO_BLOCKS := 1 2 3

.PHONY: help demo test coverage soak lint clean distclean

help:
	@echo "make demo       trains a small model and enhances two files with it, into $(DEMO)"
	@echo "make test       runs the tests and the examples in the docstrings"
	@echo "make coverage   the same, and which lines of the package none of them runs"
	@echo "make soak       kills trainings at random moments for half an hour, and compares what they become"
	@echo "make lint       checks the style of the code and its types"
	@echo "make clean      removes caches, builds and the demo's results"
	@echo "make distclean  removes the virtual environment as well"

demo: $(STAMP)
	$(BIN)/python recipes/ConvTasNet/train.py recipes/ConvTasNet/hparams/mini.yaml \
		--data_folder tests/samples --output_folder $(DEMO)
	@set -e; for blocks in $(DEMO_BLOCKS); do \
		mkdir -p $(DEMO)/enhanced/blocks_$$blocks; \
		$(BIN)/bloomnet enhance $(DEMO_FILES) $(DEMO)/enhanced/blocks_$$blocks \
			--blocks $$blocks --source $(DEMO)/pretrained; \
	done
	@echo "Hear every depth: open $(DEMO)/listen.html in a browser"

# A process for each core, up to four, of one thread each. Those tests that share what takes long to
# make, an xdist_group, run in one of them.
TESTS := -n auto --maxprocesses 4 --dist loadgroup --doctest-modules tests bloomnet_sb

# Python keeps what it compiles, whatever the environment says: the tests start hundreds of processes.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS)

# What of the package no test runs. Measuring takes half as long again.
coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --cov=bloomnet_sb \
		--cov-report=term:skip-covered --cov-fail-under=90 $(TESTS)

soak: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.soak $(SOAK)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

$(STAMP): requirements.txt requirements-asteroid.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "The pinned packages need Python 3.11 or later; $(PYTHON) is older or does not run." >&2; \
		echo "Name another one with PYTHON=, such as: make test PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up .venv (a minute or more, the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	$(PIP) --no-deps -r requirements-asteroid.txt
	$(PIP) --no-deps -e .
	@$(BIN)/python -m compileall -q -j 0 .venv/lib > /dev/null || true  # not all of it can be
	@touch $@
