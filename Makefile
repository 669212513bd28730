# Two commands set everything up: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart ladder test lint clean

# Installs the recipes, then trains stage 2 at the tiny size; it makes its own data and stage 1.
quickstart: $(VENV)/.installed
	@test -d runs/tiny/stage2/final \
		|| echo "making data and training two stages: about three minutes on two cores, 0.1 GB"
	@test -d runs/tiny/stage2/final || $(BIN)/kormo train stage2
	@echo && echo "What the model writes:" && echo
	@$(BIN)/python scripts/generate.py runs/tiny/stage2/final "The" "One morning," "우리나라의" "어느 날"
	@echo "model        runs/tiny/stage2/final"
	@echo "loss curve   runs/tiny/stage2/loss_curve.png (stage 1: runs/tiny/stage1/loss_curve.png)"
	@echo "model card   runs/tiny/stage2/final/README.md"
	@echo "next         source $(BIN)/activate"
	@echo "             python scripts/generate.py runs/tiny/stage2/final \"your text\""
	@echo "             kormo train stage2 --config 10b/stage2.yaml --dry-run"
	@echo "             kormo train stage2 optimizer.learning_rate=1e-3 logging.output_dir=runs/tiny/slower"

# From the tokenizer to preference tuning at the tiny size, and one table of it.
ladder: $(VENV)/.installed-all
	@echo "the whole ladder: about ten minutes on two cores"
	$(BIN)/python -m recipes.ladder

# Installs what the tests need and runs them on all cores.
test: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# On Linux, PyPI's torch is the CUDA build; `make quickstart TORCH=cpu` takes the small one instead.
TORCH ?= default
SIZE := 3 GB to download, 7 GB on disk (make TORCH=cpu: 0.5 and 2 GB; see docs/install.md)
ifneq ($(filter cpu,$(TORCH))$(filter Darwin,$(shell uname -s)),)
SIZE := 0.5 GB to download, 2 GB on disk
endif

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
		|| { echo "error: Python 3.11 to 3.14 is needed; name one with: make PYTHON=python3.11"; exit 1; }
	@case "$$(uname -s)" in Linux|Darwin) ;; *) \
		echo "error: needs Linux or macOS; on Windows use WSL (docs/install.md)"; exit 1;; esac
	@echo "installing into $(VENV): $(SIZE); three minutes on a fast line"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter cpu,$(TORCH)),$(PIP) --index-url https://download.pytorch.org/whl/cpu torch)
	touch $@

# What trains at the tiny size; `make ladder` and `make test` add the rest.
$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/.torch
	$(PIP) -e '.[data,train]'
	touch $@

$(VENV)/.installed-all: $(VENV)/.installed
	$(PIP) -e '.[all]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) runs
