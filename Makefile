# `make demo` and `make test` work from nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
RUN = PATH="$(abspath $(VENV))/bin:$$PATH"

DEMO_LOGS = --trainer.logger lit_adv.loggers.OfflineWandbLogger --trainer.logger.save_dir demo/logs

.PHONY: demo test lint clean

demo: $(VENV)/.demo  ## Attack 20 real images, show them, and measure how they transfer.
	$(RUN) lit-adv sample demo/clean
	$(RUN) lit-adv generate --config si_ni_ti_dim --data.shards demo/clean --output.path demo/adversarial $(DEMO_LOGS)
	$(RUN) lit-adv examples demo/adversarial --output demo/examples.png
	$(RUN) lit-adv test --config transfer --data.attacks '{si_ni_ti_dim: demo/adversarial}' --report.path demo/transfer \
		$(DEMO_LOGS)
	@echo "To look at: demo/transfer/results.html"

test: $(VENV)/.dev  ## Run the test suite.
	$(RUN) python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## Check style, types and the direction of imports.
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

clean:  ## Remove what the demo made.
	rm -rf demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("lit_adv needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml requirements.txt requirements-demo.txt | $(VENV)/bin/python
	$(RUN) pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.demo
	$(RUN) pip install --quiet --requirement requirements-dev.txt
	$(RUN) pip install --quiet --no-deps torchattacks==3.5.1 wandb-workspaces
	touch $@
