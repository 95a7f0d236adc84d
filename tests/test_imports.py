"""What a machine with a GPU, PyTorch and transformers alone can import: no vLLM, no Snakemake, no MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

PIPELINE = ["vllm", "snakemake", "mlflow", "trl", "math_verify", "latex2sympy2_extended"]
TABLES = ["pyarrow", "pandas", "sklearn", "scipy", "matplotlib", "yaml", "psutil", "datasets", "pygments"]
CODE = """
import importlib, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # importing it raises ImportError
for name in sys.argv[2].split(","):
    importlib.import_module(name)
"""


def run_without(missing: list[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, ",".join(missing), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "modules",
    [
        ["dopr", "dopr.cli", "dopr.train", "dopr.evaluate", "dopr.checkpoint", "dopr.warm_start"],
        ["dopr.rollout.torch_engine", "dopr.rollout.open", "dopr.policy.learner", "dopr.policy.model"],
    ],
)
def test_the_library_is_imported_without_what_only_the_pipeline_needs(modules):
    done = run_without(PIPELINE, CODE, ",".join(modules))
    assert done.returncode == 0, done.stderr


def test_the_decoding_benchmark_runs_without_what_tables_and_data_need_either():
    code = CODE.partition("for name in sys.argv[2]")[0] + "from dopr.cli import main\nmain(sys.argv[2:])"
    options = ["--device", "cpu", "--sequences", "2", "--prompt", "2", "--new", "3", "--grpo", "1", "--repeats", "1"]
    done = run_without([*PIPELINE, *TABLES], code, "bench-decode", *options)
    assert done.returncode == 0, done.stderr
    assert "| DoPR | 1 x 8 |" in done.stdout


def test_a_module_that_is_missing_fails_this_test_if_it_is_needed():
    assert run_without(["numpy"], CODE, "dopr.train").returncode != 0
