"""Provenance of a result: settings, commit, versions, device and the hashes of its inputs."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dopr.files import read_json, sha256, write_json

PACKAGES = ("torch", "transformers", "tokenizers", "math-verify", "numpy", "pyarrow")


def git_commit(folder: Path = Path(__file__).parent) -> str:
    """Return the commit of the code, with `+` if there are uncommitted changes; `unknown` outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on; packages that are not installed are left out."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def describe(settings: Mapping[str, Any], seed: int, inputs: Mapping[str, Path], device: str = "cpu") -> dict[str, Any]:
    """Return what two comparable results must share. It holds nothing that changes when a run is repeated."""
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
    """Return `cpu`, or the name of the GPU."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name(device)


def cpu_name() -> str:
    """Return the model of the processor, with the instruction set that PyTorch uses: both decide how it rounds."""
    import torch

    listing = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", listing.read_text() if listing.is_file() else "", re.MULTILINE)
    return f"{found[1] if found else platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"


def mixed_processors(folders: Iterable[Path]) -> str:
    """Return a sentence if runs were computed by different processors or GPUs; else empty text.

    Args:
        folders: The folders of runs. Those whose provenance.json is missing or names no processor are left out.
    """
    runs: dict[str, list[str]] = {}
    for folder in folders:
        path = folder / "provenance.json"
        provenance = read_json(path) if path.is_file() else {}
        device = provenance.get("device", "cpu")
        if processor := provenance.get("cpu") if device == "cpu" else device:
            runs.setdefault(processor, []).append(str(folder))
    if len(runs) < 2:
        return ""
    named = "; ".join(f"{name}: {len(found)}, such as {found[0]}" for name, found in sorted(runs.items()))
    return (
        f"runs of this comparison are from different processors, on which equal seeds give other bytes ({named}); "
        "delete those of one to run them again on the other"
    )


def write(folder: Path, description: Mapping[str, Any]) -> None:
    """Write provenance.json to the folder of a result."""
    write_json(folder / "provenance.json", description)
