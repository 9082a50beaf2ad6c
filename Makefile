# Two commands for a fresh machine: `make demo` and `make test`. Both set up $(VENV) first. `make test-thorough` runs
# what that leaves out, as it takes long; `make test-thorough ONLY=tests/safs/service` a part of it.

PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/.installed
BIN = $(VENV)/bin

.PHONY: install needs demo test test-thorough lint clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('SAFS needs Python 3.11 or newer' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	touch $@

needs:
	.ci/needs

demo: $(INSTALLED)
	$(BIN)/safs demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

test: lint needs
	$(PYTEST) -m 'not thorough'

test-thorough: $(INSTALLED) needs
	$(PYTEST) -m thorough $(ONLY)

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
