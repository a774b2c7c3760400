# make demo [QUICK=1] | make demo-cls | make test | make lint | make docs | make docs-serve | make clean
# make bench-gpu [GPU="--minutes 30 ..."]
# Everything is set up in .venv with the tested versions of constraints.txt; a second call reuses it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# Generated scenes stay in the clone, so that `make clean` finds them.
export MMKD_CACHE := $(CURDIR)/.cache
# The theme's advertisement of its successor is not about this build.
export NO_MKDOCS_2_WARNING := 1

.PHONY: setup demo demo-cls bench-gpu test lint docs docs-serve clean

setup: $(READY)

$(READY): constraints.txt pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmkd needs Python 3.11 or newer")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(READY)
	$(RUN) tools/demo.py $(if $(QUICK),--quick)

demo-cls: $(READY)
	$(RUN) tools/demo_cls.py

# Every figure of a GPU in nine minutes; a second call goes on.
bench-gpu: $(READY)
	$(RUN) benchmarks/gpu.py $(GPU)

# Two processes of one thread each: small models gain little from more threads.
test: lint docs
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(RUN) -m pytest --numprocesses=2 --dist=loadfile

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

# Every warning is an error, dead links among them. The site lands in build/site.
docs: $(READY)
	$(RUN) -m mkdocs build --strict

docs-serve: $(READY)
	$(RUN) -m mkdocs serve

clean:
	rm -rf $(VENV) $(MMKD_CACHE) work_dirs .dist_test build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
