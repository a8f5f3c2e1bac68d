# Everything a developer runs. Needs python3 (3.11 or later), make and gcc; each target sets up
# what it needs in .venv, once, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist loadfile

VENV := .venv
PY := $(VENV)/bin/python
HEM := $(VENV)/bin/hem
PIP_LOG := $(VENV)/pip.log
INSTALL := $(PY) -m pip install --disable-pip-version-check --constraint constraints.txt
QUIETLY := > $(PIP_LOG) 2>&1 || { tail -n 25 $(PIP_LOG); echo "More is in $(PIP_LOG)."; exit 1; }

unexport PYTHONPATH PYTHONHOME
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo images figures paper gallery test check test-oldest docs bench format constraints clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.installed ## Set up .venv (the other targets do this by themselves)

# The build's own packages are pinned too (--build-constraint), which needs a recent pip: so pip first.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("hem needs Python 3.11 or later; this is %d.%d. Another: make PYTHON=python3.x" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (about a minute the first time) ..."
	@rm -f $@
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip $(QUIETLY)
	@$(INSTALL) --build-constraint constraints.txt --editable '.[dev]' $(QUIETLY)
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "Adding PyTorch to $(VENV) ..."
	@$(INSTALL) --build-constraint constraints.txt --editable '.[dev,bench]' $(QUIETLY)
	@touch $@

demo: $(VENV)/.installed ## Teach a robot arm to reach, measure it, draw its curve and a film of it
	rm -rf demo
	$(HEM) train FetchReach-v4 --until 0.98 --run-dir demo/fetch-reach
	$(HEM) evaluate demo/fetch-reach --episodes 200
	$(HEM) plot demo/fetch-reach --out demo/curve.png
	$(HEM) play demo/fetch-reach --out demo/fetch-reach.gif
	@echo
	@echo "Done. Now look at:"
	@echo "  demo/fetch-reach.gif  the trained arm moving its gripper to the marked goals"
	@echo "  demo/curve.png        how often it succeeded, as it learned"
	@echo "  demo/fetch-reach/     the run: its settings, its measurements and the learned policy"

images: $(VENV)/.installed ## Make the film and the curve that README shows, in docs/img
	rm -rf build/images
	$(HEM) train FetchReach-v4 --env-steps 3000 --eval-interval 200 --run-dir build/images/fetch-reach
	$(HEM) play build/images/fetch-reach --grid 1x3 --out docs/img/fetch-reach.gif
	$(HEM) plot build/images/fetch-reach --out docs/img/fetch-reach.png

figures: $(VENV)/.installed ## Draw the stored learning curves, in docs/img/curves
	$(PY) -m experiments.figures

paper: $(VENV)/.installed ## Make docs/paper.md and its pictures of the stored results
	$(PY) -m experiments.paper page

gallery: $(VENV)/.installed ## Train a policy for each task, and draw it, in docs/img/gallery
	$(PY) -m experiments.gallery --out build/gallery

check: $(VENV)/.installed ## Check format, lint, types, imports and documentation, then run all tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(VENV)/bin/lint-imports
	$(PY) -m mkdocs build --strict # not --quiet: then it would not count warnings
	$(PY) -m pyright
	$(PY) -m pytest $(PYTEST_ARGS)

test: check ## The same as check; what CI runs

test-oldest: ## Run the tests with the oldest versions that pyproject.toml allows
	rm -rf build/oldest
	$(PYTHON) -m venv build/oldest
	$(PYTHON) .ci/oldest.py > build/oldest/constraints.txt
	build/oldest/bin/python -m pip install --quiet --upgrade pip
	build/oldest/bin/python -m pip install --quiet --constraint build/oldest/constraints.txt --editable '.[optuna,ray,sawyer,test]'
	build/oldest/bin/python -m pytest $(PYTEST_ARGS)

docs: $(VENV)/.installed ## Build the documentation site, in build/site
	$(PY) -m mkdocs build --strict

bench: $(VENV)/.installed-bench ## Measure speed, against limits and against PyTorch
	$(PY) -m benchmarks

format: $(VENV)/.installed ## Put all Python files into the one format, and mend what ruff can
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

# A fresh environment with only what is asked for, outside the repository. PyTorch's local build
# label (+cpu) is left out, so that every machine finds the version in its own build.
constraints: ## Pin the newest versions that pyproject.toml allows, in constraints.txt
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PYTHON) -m venv "$$fresh"; \
	"$$fresh/bin/python" -m pip install --quiet --quiet --upgrade pip; \
	"$$fresh/bin/python" -m pip install --quiet --quiet --editable '.[dev,bench]' hatchling; \
	{ echo "# Exact versions of everything that is installed. Made by: make constraints"; \
	  "$$fresh/bin/python" -m pip list --format freeze --exclude-editable; } > "$$fresh/versions"; \
	sed 's/+[a-z0-9.]*$$//' "$$fresh/versions" > constraints.txt

clean: ## Remove what make made: the environment, the demo and caches (runs/ stays)
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
