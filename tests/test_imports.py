"""What a machine with a GPU, PyTorch and transformers alone can import: no vLLM, no Snakemake, no MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

PIPELINE = ["vllm", "snakemake", "mlflow", "trl", "math_verify", "latex2sympy2_extended"]
TABLES = ["pyarrow", "pandas", "sklearn", "scipy", "matplotlib", "psutil", "datasets", "pygments"]
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
    ("missing", "modules"),
    [
        (
            PIPELINE,
            [
                "dopr",
                "dopr.cli",
                "dopr.training.train",
                "dopr.evaluation.evaluate",
                "dopr.runtime.run_state",
                "dopr.training.warm_start",
            ],
        ),
        ([*PIPELINE, *TABLES, "peft"], ["dopr.rollout.open", "dopr.training.learner", "dopr.models.checkpoint_io"]),
    ],
)
def test_the_library_is_imported_without_what_only_the_pipeline_needs(missing, modules):
    done = run_without(missing, CODE, ",".join(modules))
    assert done.returncode == 0, done.stderr


def test_a_module_that_is_missing_fails_this_test_if_it_is_needed():
    assert run_without(["numpy"], CODE, "dopr.training.train").returncode != 0
