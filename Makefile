# `make help` lists the targets; `make run` and `make test` need only Python 3.11 or newer.

PYTHON ?= python3
GIVEN := $(PYTHON)
RUN := .venv/bin
DEV := .venv-dev/bin
CODE := benchmarks tests tools workflow
# Tests of a file share results that take seconds, so a file is not split between processes. One more
# process than cores, because the tests of the cloud often wait.
PYTEST = $(DEV)/python -m pytest -n $(shell $(DEV)/python -c 'import os; print(os.cpu_count() + 1)') \
  --dist loadfile --no-loadscope-reorder
# What runs again after single changes and random histories, and what a receipt reproduces.
CHANGES := tests/workflow/test_whatever_happened.py tests/workflow/test_reproduce.py \
  $(wildcard tests/workflow/test_reruns*.py)
# The longest files come first, so that no process works alone at the end.
LONGEST_FAULTS := tests/faults/test_processes.py tests/faults/test_registry.py tests/faults/test_disk.py
# Faults that take long have a target of their own: those that are injected, and the field cases.
FAULTS := $(wildcard tests/faults/test_*.py tests/field_cases/test_*.py) tests/workflow/test_interrupted.py
# Packages of conda, several folders at once, and more data than memory.
SURROUNDINGS := $(patsubst %,tests/workflow/test_%.py,conda side_by_side size)
LONGEST_CLOUD := tests/azureml/test_azureml_network.py tests/azureml/test_azureml_faults.py
# These take long, or need what a fresh machine does not have.
OWN_TARGETS := $(patsubst %,tests/%/%,azureml container serving slurm team_registry)
TESTS := $(filter-out $(OWN_TARGETS) $(FAULTS) $(CHANGES) $(SURROUNDINGS),$(wildcard tests/*/test_*.py))
CLOUD_TESTS := $(LONGEST_CLOUD) $(filter-out $(LONGEST_CLOUD),$(wildcard tests/azureml/test_*.py))
BENCHMARKS := fit job sweep scale parse start processors pictures serve

# The Azure ML SDK v1 needs CPython 3.11: use $(PYTHON) if it is one, otherwise python3.11.
IS_311 := import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON_311 = $(shell for python in $(GIVEN) python3.11; do \
  $$python -c '$(IS_311)' 2>/dev/null && echo $$python && break; done)
# The environments of SDK v2, and of SDK v1 and its jobs.
V2 := .venv-azureml/installed
V1 := .venv-azureml-v1/installed .venv-azureml-v1-job/installed
# The SDK of the demo and of the tests of the cloud.
SDK ?= v2
CLOUD = $(if $(filter v1,$(SDK)),$(V1),$(V2))

.PHONY: help setup setup-azureml setup-azureml-v1 setup-serve setup-slurm run test test-quick \
  test-changes test-azureml test-container test-registry test-serve test-slurm \
  test-surroundings faults fuzz \
  test-long report predict serve ui verify reproduce azureml-demo bench format lint lock docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 17

setup: .venv/installed  ## install what the workflow needs into .venv

setup-azureml: $(V2)  ## install the workflow and the Azure ML SDK v2 into .venv-azureml: 1 GB, 2 minutes

setup-azureml-v1: .venv-azureml-v1/installed  ## the same with SDK v1 into .venv-azureml-v1: 1.7 GB; needs CPython 3.11

setup-serve: .venv-serve/installed  ## install Azure ML's inference server into .venv-serve: 400 MB

setup-slurm: .venv-slurm/installed  ## install the workflow and Snakemake's executor for Slurm into .venv-slurm: 1 GB

run: .venv/installed  ## run the workflow: from the download to the registered model
	@$(RUN)/snakemake --cores 1 results/registered.json
	@$(RUN)/python tools/show_receipt.py results/registered.json

report: .venv/installed  ## make results/report.html, one page with all results
	@$(RUN)/snakemake --cores 1 results/report.html

predict: .venv/installed  ## classify pictures of yours: FILES="seven.jpg more/*.png"
	@$(RUN)/python workflow/scripts/predict.py $(or $(FILES),$(error Name the pictures: make predict FILES="seven.jpg more/*.png"))

serve: .venv/installed .venv-serve/installed  ## serve the registered model on this machine, with a page to draw on: PORT=5001
	@$(RUN)/python tools/serve.py $(if $(PORT),--port $(PORT)) $(if $(REGISTERED),--registered "$(REGISTERED)")

ui: .venv/installed  ## open the registered model in MLflow or in the Azure portal
	@$(RUN)/python tools/ui.py

verify: .venv/installed  ## compare the receipt with the results, the code and the registry
	@$(RUN)/snakemake --cores 1 verify --quiet all

# FOLDER, DATA and ESTIMATOR are explained in docs/verify.md.
reproduce: .venv/installed  ## train the model of a receipt again: RECEIPT=path/to/registered.json
	@$(RUN)/python tools/reproduce.py "$(or $(RECEIPT),results/registered.json)" \
	  --folder "$(or $(FOLDER),reproduced)" $(if $(DATA),--data $(DATA)) \
	  $(if $(ESTIMATOR),--estimator-file "$(ESTIMATOR)")

test: .venv-dev/installed lint  ## check the format and the code, and run all tests but the long ones of the next targets
	$(PYTEST) $(TESTS)

test-quick: .venv-dev/installed lint  ## the same without the tests that run whole workflows
	$(PYTEST) $(filter-out tests/workflow/%,$(TESTS))

test-changes: .venv-dev/installed  ## try 500 single changes and random histories, and reproduce models
	$(PYTEST) $(CHANGES)

# With SDK v1: also the tests of both SDKs together, and of its older NumPy.
test-azureml: .venv-dev/installed $(V2) $(CLOUD)  ## run the tests of the cloud, as long again; SDK=v1 for SDK v1
	SDK=$(SDK) $(PYTEST) $(CLOUD_TESTS) $(if $(filter v1,$(SDK)),tests/workflow/test_processors.py)

test-serve: .venv-dev/installed .venv-serve/installed  ## run the tests of the server and of its page
	$(PYTEST) tests/serving

test-registry: .venv-dev/installed  ## run the tests of a registry that a team shares, with PostgreSQL and an MLflow server
	$(DEV)/python -m pytest tests/team_registry

test-container: .venv-dev/installed  ## build the image and run the workflow in it; needs root, podman and debootstrap
	$(DEV)/python -m pytest tests/container

test-slurm: .venv-dev/installed .venv-slurm/installed  ## run the tests of the cluster on a Slurm that it starts; as root, with Debian's slurm-wlm and munge
	$(DEV)/python tests/support/slurm.py $(DEV)/python -m pytest -n 6 --maxschedchunk 1 \
	  tests/slurm/test_slurm_results.py tests/slurm

test-surroundings: .venv-dev/installed  ## run the tests of conda's packages, of several folders at once, and of large data
	$(PYTEST) $(SURROUNDINGS)

faults: .venv-dev/installed  ## inject faults of the network, disk, processes and registry, and print a table
	$(PYTEST) $(LONGEST_FAULTS) $(filter-out $(LONGEST_FAULTS),$(FAULTS))

fuzz: .venv-fuzz/installed  ## give the IDX reader a million inputs of a fuzzer, in half an hour; CPython 3.11 to 3.13
	.venv-fuzz/bin/python tools/fuzz_idx.py

test-long: .venv-dev/installed  ## try random failures and changes for an hour; MINUTES=5 for five minutes
	MINUTES=$(or $(MINUTES),60) $(DEV)/python -m pytest -x tests/workflow/test_whatever_happened.py -k for_long

bench: .venv/installed  ## run the benchmarks in an hour, or some: BENCHMARKS="parse start"
	$(RUN)/snakemake --cores 1 results/arrays/train-images.npy results/arrays/test-images.npy
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(RUN)/python benchmarks/$$name.py; done

azureml-demo: $(CLOUD)  ## train and register in an emulated Azure ML workspace; SDK=v1 for SDK v1
	@$(dir $(firstword $(CLOUD)))bin/python tests/support/azureml_demo.py --sdk $(SDK)

format: .venv-dev/installed  ## format the code
	$(DEV)/ruff format $(CODE)
	$(DEV)/ruff check --fix $(CODE)
	$(DEV)/snakefmt Snakefile workflow/rules

lint: .venv-dev/installed  ## check the format, the code and the rules
	$(DEV)/ruff format --check $(CODE)
	$(DEV)/ruff check $(CODE)
	$(DEV)/snakefmt --check Snakefile workflow/rules
	$(DEV)/snakemake --lint

lock: .venv-dev/installed  ## pin the newest versions that requirements/*.in allow
	$(DEV)/python tools/lock.py

docs: .venv-dev/installed  ## update the generated parts of the documents
	$(DEV)/python tools/documents.py

clean:  ## delete the results; the downloads and the registry stay
	@rm -rf results

# A virtual environment is created again when its pins change. The file `installed` comes last.
# Settings of pip and of Python, such as PIP_USER or PYTHONPATH, must not lead to another place. The
# settings of pip that name an index or a proxy hold.
HERE = --no-user --target= --root=/ --prefix="$$PWD/$(@D)"
.venv/installed: requirements/local.txt
.venv-dev/installed: requirements/dev.txt
.venv-fuzz/installed: requirements/fuzz.txt
.venv-serve/installed: requirements/serve.txt
.venv-slurm/installed: requirements/slurm.txt
.venv-azureml/installed: requirements/azureml.txt
.venv-azureml-v1/installed: requirements/azureml-v1.txt
.venv-azureml-v1-job/installed: requirements/azureml-v1-job.txt
$(V1): override PYTHON = $(or $(PYTHON_311),$(error The Azure ML SDK v1 needs CPython 3.11. Install it, or name it: make PYTHON=/path/to/python3.11 $@))
.venv/installed .venv-dev/installed .venv-fuzz/installed .venv-serve/installed .venv-slurm/installed $(V2) $(V1):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 run" % sys.version_info[:2])'
	@echo "Installing $< into $(@D)"
	@$(PYTHON) -I -m venv --clear $(@D)
	@$(@D)/bin/python -I -m pip install $(HERE) --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@$(@D)/bin/python -I -c 'import numpy' || { echo "The packages of $< are not in $(@D). Look for an option of pip that puts them elsewhere: $(@D)/bin/python -m pip config list" >&2; exit 1; }
	@touch $@
