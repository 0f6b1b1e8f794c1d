# `make demo` and `make test` do all of the set-up; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROUNDS ?= 100
BOOTS ?= 2
SEED ?= 1

.PHONY: demo test bench setup packages clean

# Debian 12 offers linux-source-6.1; Debian 13 offers 6.12.
demo: setup
	@version=$$(apt-cache pkgnames linux-source- | sed -n 's/^linux-source-//p' | grep -xE '6\.1|6\.12' | sort -V | head -n 1); \
	if [ -z "$$version" ]; then \
		echo "oomtrial: apt offers neither linux-source-6.1 nor linux-source-6.12 here; Debian 12 and 13 do" >&2; exit 4; \
	fi; set -x; \
	$(BIN)/oomtrial run --kernel source:$$version --kernel source:$$version+wait-for-victim \
		--kernel source:$$version+ignore-pending-victim \
		--scenario one-big-many-small --rounds $(ROUNDS) --boots $(BOOTS) --seed $(SEED)

test: setup
	@sh containers/install-packages.sh containers/test-packages.txt || echo "make: without an engine the tests of the arm host are skipped"
	@envs=lint,type,py; \
	if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
		[ "$$(/usr/bin/python3 -V)" != "$$($(BIN)/python -V)" ]; then envs=$$envs,system; fi; \
	set -x; $(BIN)/tox run -e $$envs

bench: setup
	$(BIN)/tox run -e bench,bench-guests

setup: packages $(VENV)/ready

packages:
	@sh containers/install-packages.sh

$(VENV)/ready: pyproject.toml
	@echo "make: virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: oomtrial needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable . 'tox>=4.21' 'tox-uv>=1.11'
	@touch $@

clean:
	rm -rf $(VENV) .tox build dist
