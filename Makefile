# Each target is one line over the `labs` command; without make, type that line after `python3 install.py`.
# Options go through ARGS: make run ARGS="--only 02". Another Python: make PYTHON=python3.12 run
.PHONY: run test lab notebooks release grade models doctor progress lock help
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 or newer, else python3, whose install.py then says what to do.
# Looked up only when the environment has to be made.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)

run: .venv/.ok       ## every lab, then build/report/index.html
	@.venv/bin/labs run $(ARGS)

test: .venv/.ok      ## unit tests, wrong answers, all notebooks
	@.venv/bin/labs test $(ARGS)

lab: .venv/.ok       ## your own copies in work/, opened in JupyterLab
	@.venv/bin/labs lab $(ARGS)

notebooks: .venv/.ok ## notebooks/source/*.py to executed notebooks
	@.venv/bin/labs notebooks $(ARGS)

release: .venv/.ok   ## students' versions of labs, in class/: ARGS="02 03"
	@.venv/bin/labs release $(ARGS)

grade: .venv/.ok     ## submissions into the gradebook: ARGS="DIR --feedback"
	@.venv/bin/labs grade $(ARGS)

models: .venv/.ok    ## retrain the shipped models and compare
	@.venv/bin/labs models $(ARGS)

doctor: .venv/.ok    ## what is installed, and which labs can run
	@.venv/bin/labs doctor $(ARGS)

progress: .venv/.ok  ## exercises solved, points, hints
	@.venv/bin/labs progress $(ARGS)

lock: .venv/.ok      ## pin the dependencies again (needs uv)
	@.venv/bin/labs lock $(ARGS)

help:                ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

.venv/.ok: install.py requirements-torch.txt requirements.lock pyproject.toml
	@$(PYTHON) install.py
