# `make help` lists what there is. Needs Python 3.11 or newer, make and git.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# uv fills the environment in half a minute, pip in one and a half; `make setup INSTALLER=pip` where uv cannot reach your package index.
INSTALLER ?= uv
WORKERS ?= 4
PY := .venv/bin/python
READY := .venv/.ready
ENGINES := build/engines
# Bytecode is kept whatever the shell says: a process that compiles what it imports anew starts seconds later.
unexport PYTHONDONTWRITEBYTECODE
PACKAGES := postgresql chromium strace wrk \
  tesseract-ocr tesseract-ocr-eng wamerican-small fonts-sjfonts fonts-breip fonts-dkg-handwriting fonts-comic-neue \
  fonts-tlwg-purisa-otf fonts-ecolier-court fonts-femkeklaver fonts-rufscript

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## make .venv from requirements.lock, and the browser assets (quick when nothing changed)
	@$(PY) scripts/build_assets.py

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Headwater needs Python 3.11 or newer; name one: make setup PYTHON=python3.11" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@if [ $(INSTALLER) = uv ]; then \
	  awk '/^[^ #]/ {keep = /^uv==/} keep' requirements.lock > .venv/uv.lock; \
	  $(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock; \
	  .venv/bin/uv pip install -q --python $(PY) --no-deps --require-hashes --compile-bytecode -r requirements.lock; \
	else \
	  $(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
	fi
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "ready: .venv ($$($(PY) --version), $$(grep -c '==' requirements.lock) packages)"

.PHONY: system
system: ## install the Debian packages that tests and examples use (as root)
	@missing=(); for name in $(PACKAGES); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$name 2>/dev/null)" = installed ] || missing+=($$name); \
	done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  [ $$(id -u) = 0 ] || { echo "make system needs root, to install: $${missing[*]}" >&2; exit 1; }; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  log=$$(mktemp); \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; } > $$log 2>&1 \
	    || { tail -n 20 $$log >&2; exit 1; }; \
	  rm -f $$log; echo "installed: $${missing[*]}"; \
	fi

.PHONY: test
test: setup ## run the tests, but for those marked long; ARGS="-k name" chooses
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal -m "not long" $(ARGS)

.PHONY: test-long
test-long: setup ## run the tests marked long
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal -m long -o faulthandler_timeout=1800 $(ARGS)

.PHONY: test-extra
test-extra: setup ## run the tests of engines that the lock leaves out: PyTorch, MLflow, shap (6 GB in build/engines)
	@test -x $(ENGINES)/bin/python || .venv/bin/uv venv -q --python $(PY) $(ENGINES)
	@.venv/bin/uv pip install -q --python $(ENGINES)/bin/python mlflow-skinny pytest pytest-xdist \
	  --editable '.[postgres,pandas,sklearn,onnx,xgboost,lightgbm,huggingface,transformers,shap,mlflow,ocr,torch]'
	@$(ENGINES)/bin/python -m pytest -q tests/model/test_every_flavour.py tests/model/test_mlflow.py \
	  tests/model/test_transformers.py tests/evaluate/test_shap.py $(ARGS)

.PHONY: check
check: setup ## lint, format, types and floors, as CI does
	@.venv/bin/ruff format --check -q --output-format concise . || { echo "not formatted: run 'make fix'" >&2; exit 1; }
	@.venv/bin/ruff check -q --output-format concise .
	@.venv/bin/mypy --no-error-summary
	@$(PY) -m pytest -q --no-header tests/test_layout.py

.PHONY: fix
fix: setup ## format, sort imports, and mend what ruff can
	@.venv/bin/ruff check -q --fix . || true
	@.venv/bin/ruff format -q .

.PHONY: demo
demo: setup ## walk the loop on real flights, then serve the pages (SERVE=0: only walk)
	@SERVE=$${SERVE:-1} $(PY) solutions/flights/demo.py

.PHONY: story-ocr
story-ocr: setup ## train a Tesseract model on synthetic handwriting (minutes; ARGS="--lines 400 --seconds 60")
	@$(PY) solutions/story_ocr/doctor.py && $(PY) solutions/story_ocr/story.py $(ARGS)

.PHONY: bench
bench: setup ## measure Headwater beside its peers
	@$(PY) -m bench $(ARGS)

.PHONY: lock
lock: setup ## resolve requirements.lock anew from pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/uv pip compile -q pyproject.toml --extra dev --upgrade \
	  --python-version 3.11 --python-platform linux --generate-hashes --no-emit-index-url --no-header \
	  --output-file requirements.lock

.PHONY: clean
clean: ## remove what was built, the environment too
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis src/headwater/web/static/vega.js
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
