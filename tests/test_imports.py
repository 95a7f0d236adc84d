"""What a machine with a GPU, PyTorch and transformers alone can import: no vLLM, no Snakemake, no MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dopr.workflow.code_hash import PACKAGE, closure

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


@pytest.mark.parametrize("name", ["driver", "rewards_log", "trl", "verl"])
def test_integrations_stand_on_selection_and_the_ground_alone(name):
    """A researcher with TRL or verl installs nothing of the pipeline."""
    below = ("dopr.selection", "dopr.integrations")
    ground = {"dopr.errors", "dopr.files", "dopr.plugins", "dopr.records"}
    found = closure(PACKAGE / f"integrations/{name}.py")
    assert "dopr.selection.selector" in found
    assert {module for module in found if not module.startswith(below)} <= {"dopr"} | ground


@pytest.mark.parametrize("path", sorted((PACKAGE / "selection").rglob("*.py")), ids=lambda path: path.stem)
def test_selection_stands_on_the_ground_alone(path):
    ground = {"dopr", "dopr.errors", "dopr.files", "dopr.plugins", "dopr.records"}
    assert {module for module in closure(path) if not module.startswith("dopr.selection")} <= ground
