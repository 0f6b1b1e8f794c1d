# `make demo` and `make test` do all of the set-up; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test bench setup packages clean

demo: setup
	$(BIN)/oomtrial demo $(addprefix --rounds ,$(ROUNDS)) $(addprefix --boots ,$(BOOTS)) $(addprefix --seed ,$(SEED))

test: setup
	@sh containers/install-packages.sh containers/test-packages.txt || echo "make: without an engine the tests of the arm host are skipped"
	@envs=lint,type,docs,py; \
	if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
		[ "$$(/usr/bin/python3 -V)" != "$$($(BIN)/python -V)" ]; then envs=$$envs,system; fi; \
	set -x; $(BIN)/tox run -e $$envs

bench: setup
	$(BIN)/tox run -e bench,bench-guests

setup: packages $(VENV)/ready

packages:
	@sh containers/install-packages.sh

$(VENV)/ready: pyproject.toml $(wildcard harness/oomlog/native/*.[ch])
	@echo "make: virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: oomtrial needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[report]' 'tox>=4.21' 'tox-uv>=1.11'
	@touch $@

clean:
	rm -rf $(VENV) .tox build dist
