# Tallystick. `make demo` shows the whole product; `make test` proves it; `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo run test check bench structured faults format contracts contracts-tools vectors schema-check coverage clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 18

# A stamp names the extras that are installed and changes with the files that decide them, so a second run installs nothing.
INPUTS := pyproject.toml constraints.txt scripts/install.sh
$(VENV)/.stamp-run: $(INPUTS)
	@PYTHON=$(PYTHON) sh scripts/install.sh run
$(VENV)/.stamp-test: $(INPUTS)
	@PYTHON=$(PYTHON) sh scripts/install.sh test

demo: $(VENV)/.stamp-run     ## ask a real model, seal the record, verify it from the chain alone, catch a changed byte
	@$(BIN)/python scripts/demo.py

run: $(VENV)/.stamp-run      ## serve until stopped (TALLYSTICK_HOST, TALLYSTICK_PORT, TALLYSTICK_HOME)
	@exec $(BIN)/tallystick-server serve

test: $(VENV)/.stamp-test contracts-tools    ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup
	$(MAKE) --no-print-directory contracts

contracts: contracts-tools   ## the contract's own tests (Foundry) and its static analysis (slither)
	@if [ -n "$$TALLYSTICK_NO_NODE" ]; then echo "contracts: left out (TALLYSTICK_NO_NODE is set)"; \
	else (cd contracts && ./node_modules/@foundry-rs/forge-*/bin/forge fmt --check && ./node_modules/@foundry-rs/forge-*/bin/forge test) \
	&& $(PYTHON) scripts/analyse_contracts.py; fi

contracts-tools:             ## solc, forge, anvil and cast from the npm registry, slither from PyPI
	@PYTHON=$(PYTHON) sh scripts/install_contract_tools.sh

check: $(VENV)/.stamp-test contracts-tools   ## format, lint, types, layers, dependencies, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(MAKE) --no-print-directory test

bench: $(VENV)/.stamp-test   ## the measured bars, as ratios in one run
	$(BIN)/python scripts/bench.py $(BENCH_ARGS)

structured: $(VENV)/.stamp-test   ## 200 JSON schemas, and every completed answer before another project's validator (the suite runs a few)
	$(BIN)/python scripts/structured_output.py $(STRUCTURED_ARGS)

faults: $(VENV)/.stamp-test contracts-tools  ## hundreds of kills (the suite runs a short version)
	TALLYSTICK_FAULT_ROUNDS=$${TALLYSTICK_FAULT_ROUNDS:-200} $(BIN)/python -m pytest -m faults --timeout 0 tests

schema-check: $(VENV)/.stamp-test   ## hold a running server to its API description, with made-up requests (schemathesis, in an environment of its own)
	@[ -x $(VENV)-schema/bin/schemathesis ] || { $(PYTHON) -m venv $(VENV)-schema && $(VENV)-schema/bin/python -m pip install -q schemathesis==4.32.5; }
	$(BIN)/python scripts/check_schema.py $(CURDIR)/$(VENV)-schema/bin/schemathesis

coverage: $(VENV)/.stamp-test  ## branch coverage of both packages
	$(BIN)/coverage run -m pytest -p no:randomly && $(BIN)/coverage combine -q && $(BIN)/coverage report

vectors: $(VENV)/.stamp-test   ## print the test vectors anew (they are frozen: a difference is a defect)
	$(BIN)/python scripts/make_vectors.py --check

format: $(VENV)/.stamp-test    ## rewrite the code in the project's format
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:           ## remove the environment, caches and the development state
	rm -rf $(VENV) .tallystick .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage*
	rm -rf contracts/node_modules contracts/.slither-venv contracts/out contracts/cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
