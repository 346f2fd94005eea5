# Every target makes the virtual environment it needs and brings it up to date when pyproject.toml or constraints.txt change.
#   make demo    compare boosting methods on real data and write report.html (core and [compare] only)
#   make test    the tests          make lint   ruff and the import order      make type   static types
#   make bench   speed beside each peer, into benchmarks/RESULTS.md            make docs   a page for each finished method
#   make check   lint, type, test and docs
# On a machine whose python3 is older than 3.11: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
PYTEST_ARGS ?=

.DEFAULT_GOAL := check
.PHONY: demo test lint type bench docs check

demo: $(DEMO_VENV)/.installed
	@# status 3: a contender failed, which the report shows; make must still say so at the end
	$(DEMO_VENV)/bin/breadth compare boosting --quick; status=$$?; \
	if [ $$status -ne 0 ] && [ $$status -ne 3 ]; then exit $$status; fi; \
	$(DEMO_VENV)/bin/breadth report -o report.html && echo "The report: $(CURDIR)/report.html" && exit $$status

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -n 2 -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo

type: $(VENV)/.installed
	$(VENV)/bin/pyrefly check

bench: $(VENV)/.installed
	@# hnswlib's install compiles C++: without it the section that needs it is reported as failed
	-$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(VENV)/bin/python benchmarks/run.py

docs: $(VENV)/.installed
	$(VENV)/bin/python docs/build.py

check: lint type test docs

$(VENV)/.installed: EXTRAS := dev
$(DEMO_VENV)/.installed: EXTRAS := compare
$(VENV)/.installed $(DEMO_VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "breadth: '$(PYTHON)' is not installed; on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "breadth: needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "breadth: '$(PYTHON)' cannot make virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing breadth[$(EXTRAS)] into $(@D); the first time this downloads a few hundred megabytes."
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
