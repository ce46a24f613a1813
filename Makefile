# All set-up happens here: `make run` for the main job, `make test` for the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test test-slow test-faults test-slurm test-matrix test-lowest lint docs clean

run: $(VENV)/.core
	$(BIN)/ensemble run configs/hoosfield.yaml

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Long statistical checks (coverage of intervals, simulation-based calibration, ...).
test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

# Kill, damage, fill and misname stores hundreds of times; prints a table of what held.
test-faults: $(VENV)/.test
	$(BIN)/python -m pytest -s -m faults tests/store/test_faults.py

# A real SLURM on this machine: an array is preempted, requeued and compared. Needs root on Debian.
test-slurm: $(VENV)/.test
	@if scripts/slurm_install.sh; then $(BIN)/python -m pytest -m slurm tests/test_slurm.py; fi

# The core tests on every supported interpreter that is on this machine.
test-matrix:
	@for minor in 11 12 13; do \
	  for python in python3.$$minor $$HOME/.pyenv/versions/3.$$minor.*/bin/python; do \
	    if $$python -c "" 2>/dev/null; then \
	      echo "== $$($$python --version)"; \
	      $(MAKE) test PYTHON=$$python VENV=.venv-3.$$minor || exit 1; break; \
	    fi; \
	  done; \
	done

# The core tests on the lowest versions that pyproject.toml allows; these warn about newer versions of what they need.
test-lowest: $(VENV)-lowest/.test
	$(VENV)-lowest/bin/python -m pytest -n 2 --dist loadfile -W ignore::DeprecationWarning

lint: $(VENV)/.test
	$(BIN)/pre-commit run --all-files

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e ".[test]"
	touch $@ $(VENV)/.core

$(VENV)-lowest/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) tests/lowest_versions.py > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pip --quiet install -c $(VENV)-lowest/lowest.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-* build *.egg-info
