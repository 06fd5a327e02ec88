# Two commands do all the set-up on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3

.PRECIOUS: env/python%/.ready
.PHONY: demo checks test test-all test-new test-core test-lowest docs man structure results clean

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
	$(MAKE) -j 2 checks test-new
	$(PYTEST) -m "not slow"

# All tests, the core of them on every other Python that runs here, and a minute of fuzzing with other inputs every time.
test-all: env/.ready
	$(KERNELS)
	$(MAKE) -j 2 checks test-new
	$(PYTEST)
	$(MAKE) test-core
	$(MAKE) docs man
	env/bin/python tools/fuzz.py --seconds 60

# Stores with the newest versions, on the newest Python that runs: PYTHON_NEW, or what tools/pythons.py finds.
test-new:
	$(MAKE) test-new-$$($(PYTHON) tools/pythons.py newest)

test-new-%: env/python%/.ready
	env/python$*/bin/python -m pytest -q $(addprefix tests/integrations/test_,chunk.py chunk_part.py hostile_chunks.py numcodecs.py \
		zarr.py hdf5.py nwb.py plugins_docs.py public_names.py) tests/integrations/test_dask.py::test_zarr_chunk_by_chunk \
		tests/tools/test_registration.py tests/telemetry/test_telemetry_export.py \
		src/spikey/integrations --ignore src/spikey/integrations/telemetry.py

# What needs neither stores nor PyTorch, on each Python but that of env/, which runs everything.
CORE = $(addprefix tests/,base recording levels model coding codec container files stream telemetry lossy config cli)

test-core: env/.ready
	for version in $$(env/bin/python tools/pythons.py others); do $(MAKE) test-core-$$version || exit 1; done

test-core-%: env/python%/.ready
	env/python$*/bin/python tests/kit/kernels.py 2
	env/python$*/bin/python -m pytest -q -n 2 -m "not slow" $(CORE)

# The lowest versions that are allowed, with a cache of their own: compiling everything takes a quarter of an hour.
test-lowest: env/lowest/.ready
	NUMBA_CACHE_DIR=$(CURDIR)/env/lowest/cache env/lowest/bin/python -m pytest -q tests/cli/test_cli.py tests/container/test_golden.py \
		tests/config/test_config.py tests/files/test_api.py tests/docs/test_installing.py

env/lowest/.ready: requirements-lowest.txt pyproject.toml
	$(PYTHON) -m venv env/lowest
	env/lowest/bin/python -m pip install -q -r requirements-lowest.txt
	touch $@

env/python%/.ready: requirements-new.txt pyproject.toml
	"$$($(PYTHON) tools/pythons.py $*)" -m venv env/python$*
	env/python$*/bin/python -m pip install -q -r requirements-new.txt
	touch $@

env/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Spikey needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv env
	env/bin/python -m pip install -q -r requirements.txt
	touch $@

# The documentation as a site in site/, and a manual page for each command in build/man/.
DOCS = env/docs

docs: env/.ready $(DOCS)/.ready
	env/bin/python -m tools.reference_pages build/reference
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet

man: env/.ready
	env/bin/python -m tools.man_pages build/man

$(DOCS)/.ready: requirements-docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install -q -r requirements-docs.txt
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
	rm -rf env demo build dist site
