# `make help` lists the targets; `make run` and `make test` need only Python 3.11 or newer.

PYTHON ?= python3
RUN := .venv/bin
DEV := .venv-dev/bin
CODE := benchmarks requirements tests workflow

.PHONY: help setup run test bench format lint lock docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: .venv/installed  ## install what the workflow needs into .venv

run: .venv/installed  ## run the workflow: from the download to the registered model
	@$(RUN)/snakemake --cores 1 results/registered.json
	@$(RUN)/python workflow/scripts/show_receipt.py results/registered.json

test: .venv-dev/installed lint  ## check format and lint, run all tests
	$(DEV)/python -m pytest

bench: .venv/installed  ## compare the solvers on the arrays that the workflow has made
	$(RUN)/python benchmarks/fit.py

format: .venv-dev/installed  ## format the code
	$(DEV)/ruff format $(CODE)
	$(DEV)/ruff check --fix $(CODE)
	$(DEV)/snakefmt Snakefile workflow/rules

lint: .venv-dev/installed  ## check the format, the code and the workflow
	$(DEV)/ruff format --check $(CODE)
	$(DEV)/ruff check $(CODE)
	$(DEV)/snakefmt --check Snakefile workflow/rules
	$(DEV)/snakemake --lint

lock: .venv-dev/installed  ## pin the newest versions that the .in files allow
	$(DEV)/python requirements/lock.py

docs: .venv-dev/installed  ## renew what the documents quote: the table of keys, the workflow's picture
	$(DEV)/python workflow/scripts/document.py

clean:  ## delete the results; the downloads and the registry stay
	@[ ! -d results ] || find results -mindepth 1 -maxdepth 1 ! -name raw -exec rm -r {} +

# A virtual environment, made anew when its pins change, and whole or not at all.
.venv/installed: requirements/local.txt
.venv-dev/installed: requirements/dev.txt
.venv/installed .venv-dev/installed:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 run" % sys.version_info[:2])'
	@echo "Installing $< into $(@D)"
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
