"""Where a result comes from: settings, commit, versions, device and the hashes of its inputs."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dopr.files import sha256, write_json

PACKAGES = ("torch", "transformers", "tokenizers", "math-verify", "numpy", "pyarrow")


def git_commit(folder: Path = Path(__file__).parent) -> str:
    """The commit of the code, with `+` when there are uncommitted changes; `unknown` outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """The version of each package that results depend on, and that this environment has."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def describe(settings: Mapping[str, Any], seed: int, inputs: Mapping[str, Path], device: str = "cpu") -> dict[str, Any]:
    """Everything needed to know whether two results may be compared; nothing that changes from run to run."""
    return {
        "settings": dict(settings),
        "seed": seed,
        "commit": git_commit(),
        "python": platform.python_version(),
        "versions": versions(),
        "device": device_name(device),
        "processor": platform.machine(),
        "inputs": {name: sha256(path) for name, path in inputs.items()},
    }


def device_name(device: str) -> str:
    """`cpu`, or the GPU's name."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name(device)


def write(folder: Path, description: Mapping[str, Any]) -> None:
    """Write provenance.json beside a result."""
    write_json(folder / "provenance.json", description)
