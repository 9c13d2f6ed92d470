# What people run. Everything needed is set up on first use: Python 3.11 and make suffice.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null)
NPROC := 2

.PHONY: setup demo test test-full lint docs pictures bench bench-peers lock audit clean

setup: .venv/ready

# 1 says that the candidate was rolled back: here that is how it should end.
demo: .venv/ready
	@$(BIN)/davy demo || test $$? -eq 1

test: .venv/ready
	$(BIN)/python -m pytest -n $(NPROC) --dist worksteal --durations 20

test-full: .venv/ready
	$(BIN)/python -m pytest -n $(NPROC) --dist worksteal --full

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The documentation as a site; a link that leads nowhere is an error. `sphinx -b linkcheck` asks the web, too.
docs: .venv/ready
	$(BIN)/python -m sphinx --fail-on-warning --quiet --builder html docs .docs
	@echo "see .docs/index.html"

# The page's picture in the docs, from the run that checks the page; the tests leave all of theirs in .artefacts/pictures.
pictures: .venv/ready
	$(BIN)/python -m pytest -q tests/davy/web/test_page_demo.py
	cp .artefacts/pictures/demo.png docs/images/console.png

# Ingest beside a bare consumer, the sink beside the bare driver, the questions of a year: each writes its part of docs/benchmarks.md.
bench: .venv/ready
	$(BIN)/python -m bench
	$(BIN)/python -m bench.sink
	$(BIN)/python -m bench.year

# Kafka Streams, Flink SQL, Quix Streams and Faust beside Davy: needs Java 17 and Maven (installed as root on Debian).
bench-peers: .venv/ready
	$(BIN)/python -m bench.peers all

.venv/ready: requirements.lock pyproject.toml
ifdef UV
	uv venv --quiet --allow-existing --python '>=3.11' .venv
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable . --editable clients/python
else
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable . --editable clients/python
endif
	$(BIN)/python -m streams.warm # compiles the loops; later starts take them from a cache
	@touch $@

lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group dev --output-file requirements.lock pyproject.toml

# Known vulnerabilities of what is pinned. A package of which nothing can be learnt is a failure, too.
audit:
	uvx pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

clean:
	rm -rf .venv .davy .docs .artefacts
