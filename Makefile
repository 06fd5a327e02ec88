# Two commands do all the set-up on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3

.PHONY: demo test clean

demo: env/.ready
	env/bin/python cli.py demo

test: env/.ready
	env/bin/ruff check .
	env/bin/mypy
	env/bin/python -m pytest -q -n 2

env/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Spikey needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv env
	env/bin/python -m pip install -q -r requirements.txt
	touch $@

clean:
	rm -rf env demo build dist
