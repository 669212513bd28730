# Two commands set everything up: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart ladder test lint clean

# Installs the recipes, then trains stage 2 at the tiny size; it makes its own data and stage 1.
quickstart: $(VENV)/.installed
	@test -d runs/tiny/stage2/final || $(BIN)/accelerate launch --num_processes 1 \
		--num_machines 1 --mixed_precision no --dynamo_backend no recipes/stage2.py
	@echo && echo "What the model writes:" && echo
	@$(BIN)/python scripts/generate.py runs/tiny/stage2/final "The" "One morning," "우리나라의" "어느 날"
	@echo "model        runs/tiny/stage2/final"
	@echo "loss curve   runs/tiny/stage2/loss_curve.png (stage 1: runs/tiny/stage1/loss_curve.png)"
	@echo "model card   runs/tiny/stage2/final/README.md"
	@echo "next         source $(BIN)/activate"
	@echo "             python scripts/generate.py runs/tiny/stage2/final \"your text\""
	@echo "             accelerate launch recipes/stage2.py --config 10b/stage2.yaml --dry-run"
	@echo "             accelerate launch recipes/stage2.py optimizer.learning_rate=1e-3 logging.output_dir=runs/tiny/slower"

# From the tokenizer to preference tuning at the tiny size, and one table of it.
ladder: $(VENV)/.installed
	$(BIN)/python -m recipes.ladder

# Installs what the tests need and runs them on all cores.
test: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The CUDA build of torch is the default on PyPI; on a machine without a GPU it runs on the CPU.
$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "error: Python 3.11 or 3.12 is needed; name one with: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some minutes, mostly torch)"
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) runs
