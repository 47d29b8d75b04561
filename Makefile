# Needs Python 3.11+ and access to PyPI; everything is installed below this folder, nothing globally.
PYTHON ?= python3
UV := .uv/bin/uv
RUN := $(UV) run --frozen --quiet
ARGS ?=
WORKERS ?= 4
BESIDE := --dist worksteal -n

export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_PREFERENCE ?= only-system

.PHONY: help demo run nextcloud-sim check test test-slow test-r2r test-live docs bench install format

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 22

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

.venv/installed: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --quiet --inexact --all-extras --python $(PYTHON)
	@touch $@

.venv/example: .venv/installed docs/examples/qdrant/pyproject.toml docs/examples/milvus/pyproject.toml
	$(UV) sync --frozen --quiet --inexact --all-extras --group example --python $(PYTHON)
	@touch $@

# What needs them is skipped with a word about it where they cannot be had.
.venv/servers: .venv/example
	-$(UV) sync --frozen --quiet --inexact --all-extras --group example --group servers --python $(PYTHON) && touch $@

install: .venv/installed  ## install the project and its tools into .venv

demo: install  ## load sample documents over HTTP and ask questions (ARGS=--once: do not keep serving)
	@$(RUN) ccbe demo $(ARGS)

run: install  ## run the gateway with the settings in .env (copy example.env)
	@$(RUN) python main.py

nextcloud-sim: install  ## a simulated Nextcloud with documents and questions for a gateway (ARGS=--once: end after them)
	@$(RUN) python -m tests.doubles.sim --demo --deploy --exapp http://127.0.0.1:10034 $(ARGS)

check: .venv/example  ## format, lint, types, import rules, generated docs
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python tools/generate_docs.py --check

format: install  ## rewrite the code in the house format
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

test: .venv/example  ## the tests that run in a few minutes, WORKERS=4 side by side
	$(RUN) pytest $(BESIDE) $(WORKERS) -m 'not slow and not r2r and not live' $(ARGS)

test-slow: .venv/example .venv/servers  ## stress, memory, crash and random-model tests
	$(RUN) pytest $(BESIDE) 2 -m 'slow and not alone and not r2r and not live' $(ARGS)
	$(RUN) pytest -m 'slow and alone and not r2r and not live' $(ARGS)

test-r2r: .venv/example  ## tests with a real R2R, which is installed into .r2r-venv (or CCBE_R2R_VENV) when missing
	$(RUN) pytest -m r2r $(ARGS)

test-live: .venv/example  ## the conformance kit against Pinecone and Supabase, if their keys are in the environment
	$(RUN) pytest -m live $(ARGS)

docs: .venv/example  ## rewrite the generated documents
	$(RUN) python tools/generate_docs.py

bench: install  ## measure speed (ARGS=--quick for a minute's worth, ARGS=--write to update docs/benchmarks.md)
	$(RUN) python -m tools.bench $(ARGS)
