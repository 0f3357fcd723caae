# Needs Python 3.11 or later with pip, and nothing else. Examples:
#     make demo
#     make test PYTHON=python3.12
#     make demo TENSORFLOW=tensorflow      (the build for GPUs)

PYTHON ?= python3.11
TENSORFLOW ?= tensorflow-cpu
# A file stays in one process, so that what its tests share is made once.
TEST_OPTIONS ?= -n 2 --dist loadfile

PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
CORE_TESTS = $(wildcard tests/ops tests/layers tests/models \
	tests/losses_test.py tests/layering_test.py)

.DELETE_ON_ERROR:
.PHONY: help demo test test-jax test-slow lint clean

help:
	@echo "make demo      train a small detector on drawn shapes, some 8 min"
	@echo "make test      run the fast tests on TensorFlow"
	@echo "make test-jax  run the core tests on JAX, without TensorFlow"
	@echo "make test-slow run the slow tests on both, an hour or more"
	@echo "make lint      check format and style"
	@echo "make clean     remove what the others made"

demo: .venv/demo.stamp
	@echo "== Training the demo; its pictures go to demo/"
	.venv/bin/python -m keras_fair.bin.demo --workdir demo

test: .venv/test.stamp
	@echo "== Running the tests on TensorFlow"
	KERAS_BACKEND=tensorflow .venv/bin/python -m pytest -q $(TEST_OPTIONS)

test-jax: .venv-jax/test.stamp
	@echo "== Running the core tests on JAX"
	KERAS_BACKEND=jax .venv-jax/bin/python -m pytest -q $(TEST_OPTIONS) \
		$(CORE_TESTS)

# One process: some of these measure memory, or start and kill processes.
test-slow: .venv/test.stamp .venv-jax/test.stamp
	@echo "== Running the slow tests on TensorFlow, then on JAX"
	KERAS_BACKEND=tensorflow .venv/bin/python -m pytest -q -m slow
	KERAS_BACKEND=jax .venv-jax/bin/python -m pytest -q -m slow $(CORE_TESTS) \
		tests/training/jax_devices_test.py tests/gpu_train_test.py

lint: .venv/test.stamp
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .

clean:
	rm -rf .venv .venv-jax .build .pytest_cache .ruff_cache .hypothesis
	rm -rf demo dist keras_fair.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than setup.py when the environment has what it asks for.

.venv/bin/python .venv-jax/bin/python:
	@command -v $(PYTHON) > /dev/null || { echo "No $(PYTHON) here. Give \
	the name of a Python from 3.11 on: make PYTHON=python3"; exit 1; }
	@echo "== Creating $(@:/bin/python=)"
	$(PYTHON) -m venv $(@:/bin/python=)

.venv/demo.stamp: setup.py pyproject.toml | .venv/bin/python
	@echo "== Installing keras-fair and TensorFlow in .venv (minutes)"
	.venv/bin/python $(PIP_INSTALL) --editable '.[$(TENSORFLOW)]'
	@touch $@

.venv/test.stamp: setup.py pyproject.toml | .venv/bin/python
	@echo "== Installing keras-fair, TensorFlow and test tools in .venv" \
		"(minutes)"
	.venv/bin/python $(PIP_INSTALL) --editable '.[$(TENSORFLOW),test]'
	@touch $@ .venv/demo.stamp

.venv-jax/test.stamp: setup.py pyproject.toml | .venv-jax/bin/python
	@echo "== Installing keras-fair, JAX and test tools in .venv-jax (minutes)"
	.venv-jax/bin/python $(PIP_INSTALL) --editable '.[jax,test]'
	@touch $@
