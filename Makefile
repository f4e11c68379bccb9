# A fresh machine needs make and Python >= 3.11 with venv; the rest goes into .venv.
#
#   make serve            install what is needed, start shalt      (ARGS="--port 8500")
#   make demo             the same with sample traffic, without a key
#   make test             install what is needed, run the tests     (ARGS="tests/storage")
#   make check            lint, format and types
#   make docs             write the generated tables of the documentation again
#   make lock             pin the newest releases that pyproject.toml allows

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Hundreds of processes of the tests would compile our modules each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve demo test check docs lock clean

serve: $(VENV)/serve
	$(BIN)/shalt serve $(ARGS)

demo: $(VENV)/serve
	$(BIN)/shalt demo $(ARGS)

test: $(VENV)/test
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/test
	$(BIN)/python docs/tables.py

$(VENV)/python:
	@test -n "$(PYTHON)" || { echo "shalt needs Python >= 3.11 (make PYTHON=/path/to/python3)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# Every file is checked against its hash; shalt itself is linked, so edits take effect.
$(VENV)/serve: $(VENV)/python requirements.lock pyproject.toml
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

# Trainers' loaders, which only tests use, come without what they would train with.
$(VENV)/test: $(VENV)/python requirements-dev.lock requirements-trainers.lock pyproject.toml
	$(PIP) --require-hashes -r requirements-dev.lock
	$(PIP) --require-hashes --no-deps -r requirements-trainers.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

# On the lowest Python we support: what it needs, backports included, newer ones need too.
# All hashes of a release are written, so the locks serve every platform it has files for.
COMPILE := $(VENV)/lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
	--strip-extras --build-deps-for editable --no-header --no-annotate --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Each by its name, for their own requirements contradict each other and ask for torch. The last
# together that checks rows itself is 2.14.0.
TRAINERS := addict axolotl colorama detect-agent distro httpcore httpx llamafactory \
	mistral-common pillow pycountry pydantic-extra-types regex safetensors sentencepiece \
	tabulate tiktoken together==2.14.0 tokenizers transformers trl
lock: $(VENV)/python
	$(BIN)/python -c 'import sys; assert sys.version_info[:2] == (3, 11), "make lock needs 3.11"'
	$(BIN)/python -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet 'pip-tools>=7.6,<8' 'uv>=0.9'
	$(COMPILE) --extra dev --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml
	printf '%s\n' $(TRAINERS) | $(VENV)/lock/bin/uv pip compile --quiet --upgrade --no-deps \
		--generate-hashes --no-header --no-annotate --constraint requirements-dev.lock \
		--output-file requirements-trainers.lock -
	sed -i -e '/^-/d' -e '/^ *#/d' -e '/^$$/d' requirements.lock requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
