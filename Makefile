# Two commands do all the set-up on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3

.PHONY: demo checks test test-all test-zarr3 test-lowest structure results clean

demo: env/.ready
	env/bin/python cli.py demo

CHECKS = env/bin/ruff check . && env/bin/ruff format --check . && env/bin/mypy && env/bin/lint-imports
KERNELS = env/bin/python tests/kit/kernels.py 2
PYTEST = env/bin/python -m pytest -q -n 2

checks: env/.ready
	$(CHECKS)

# About eight minutes on two cores, nothing compiled before.
test: env/.ready
	$(KERNELS)
	$(MAKE) -j 2 checks test-zarr3
	$(PYTEST) -m "not slow"

# All tests, and a minute of fuzzing with other inputs every time.
test-all: env/.ready
	$(KERNELS)
	$(MAKE) -j 2 checks test-zarr3
	$(PYTEST)
	env/bin/python tools/fuzz.py --seconds 60

test-zarr3: env/zarr3/.ready
	env/zarr3/bin/python -m pytest -q $(addprefix tests/integrations/test_,chunk.py chunk_part.py hostile_chunks.py numcodecs.py zarr.py hdf5.py \
		plugins_docs.py public_names.py) src/spikey/integrations --ignore src/spikey/integrations/telemetry.py

# The lowest versions that are allowed, with a cache of their own: compiling everything takes a quarter of an hour.
test-lowest: env/lowest/.ready
	NUMBA_CACHE_DIR=$(CURDIR)/env/lowest/cache env/lowest/bin/python -m pytest -q tests/cli/test_cli.py tests/container/test_golden.py \
		tests/config/test_config.py tests/files/test_api.py tests/docs/test_installing.py

env/lowest/.ready: requirements-lowest.txt pyproject.toml
	$(PYTHON) -m venv env/lowest
	env/lowest/bin/python -m pip install -q -r requirements-lowest.txt
	touch $@

env/zarr3/.ready: requirements-zarr3.txt pyproject.toml
	$(PYTHON) -m venv env/zarr3
	env/zarr3/bin/python -m pip install -q -r requirements-zarr3.txt
	touch $@

env/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Spikey needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv env
	env/bin/python -m pip install -q -r requirements.txt
	touch $@

# How the package hangs together: importers, imports against the rule, calls, largest file, what the codec loads.
structure: env/.ready
	env/bin/python -m tools.structure

# The figures of README.md and docs/results.md anew, half an hour on a quiet machine: make results DATA=path/to/data
BENCH = env/bin/python -m spikey bench $(DATA) --every 5 --json
TABLES = env/bin/python -m tools.docs_tables

results: env/.ready
	$(BENCH) --peers all > validation.json && $(TABLES) --take validation validation.json && rm validation.json
	$(BENCH) --no-peers --no-floor --preset fast --preset balanced --model n1-fixed --model n1-lstm-small \
		> models.json && $(TABLES) --take models models.json && rm models.json
	env/bin/python -m spikey telemetry report $(DATA) --every 5 --channels 1024 --simulated --ratio 50 --ratio 100 \
		--ratio 204.8 --ratio 500 --ratio 1000 --json > telemetry.json && \
		$(TABLES) --take telemetry telemetry.json && rm telemetry.json
	./eval.sh $(DATA) > eval.txt && $(TABLES) --take challenge eval.txt && rm eval.txt
	$(TABLES)

clean:
	rm -rf env demo build dist
