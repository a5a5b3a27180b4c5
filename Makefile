# Everything sets itself up from a bare Python >= 3.11: `make start`, `make test`, `make lint`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: start test soak bench-client bench-backup bench-migrate binary deb lint format lock clean

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ialctl needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing locked dependencies into $(VENV) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

start: $(STAMP)
	@$(BIN)/ialctl start

test: $(STAMP)
	@$(BIN)/pytest -m "not soak"

soak: $(STAMP)
	@$(BIN)/pytest -m soak

# One Query through each client, as a multiple of a bare HTTP request.
bench-client: $(STAMP)
	@$(BIN)/python -m core.benchmark.client

# Backup and restore against bare loops over the same endpoint, and the memory they take.
bench-backup: $(STAMP)
	@$(BIN)/python -m scripts.bench_backup

# A migration against a bare scan-and-write loop over the same endpoint, and the memory it takes.
bench-migrate: $(STAMP)
	@$(BIN)/python -m scripts.bench_migrate

# dist/ialctl (one file), dist/ialctl-dir/ with its archive, checksums, the list of what is inside.
binary: $(STAMP)
	@$(BIN)/python -m scripts.building.binary

# dist/ialctl_<version>_<arch>.deb, of the one-folder build.
deb: binary
	@$(BIN)/python -m scripts.building.deb

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cfn-lint 'phases/**/*.yaml'
	@$(BIN)/hadolint Dockerfile

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Writes the locks anew from pyproject.toml (needs uv).
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/run.lock
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
