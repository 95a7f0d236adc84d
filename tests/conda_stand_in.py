"""What Snakemake asks of conda, answered without it: a `conda` for these calls, and a channel of this machine's Python.

The solver and the installer are rattler's, which are those of pixi. The channel's python is a virtual environment of
the interpreter that runs the tests, and its uv starts the one that lies beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

CHANNEL = "DOPR_TEST_CHANNEL"  # the variable that names the folder which stands in for conda-forge
PLATFORM = "linux-64"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_channel(folder: Path) -> None:
    """A channel with python and uv."""
    base = Path(sys.base_prefix) / "bin"
    python = {
        "pyvenv.cfg": f"home = {base}\ninclude-system-site-packages = false\n",
        f"lib/python{VERSION}/site-packages/README": "packages go here\n",
        "bin/python": base / f"python{VERSION}",
    }
    uv = {"bin/uv": f'#!/bin/sh\nexec {shutil.which("uv")} "$@"\n'}
    packages = {}
    (folder / PLATFORM).mkdir(parents=True)
    (folder / "noarch").mkdir()
    for name, version, files in (("python", f"{VERSION}.0", python), ("uv", "0.0.1", uv)):
        index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": [], "subdir": PLATFORM}
        path = folder / PLATFORM / f"{name}-{version}-0.tar.bz2"
        write_package(path, index, files)
        packages[path.name] = {**index, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    for subdir, held in ((PLATFORM, packages), ("noarch", {})):
        data = {"info": {"subdir": subdir}, "packages": held, "packages.conda": {}, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(data))


def write_package(path: Path, index: dict[str, Any], files: dict[str, str | Path]) -> None:
    """A conda package: files with text, or links to a path, and the three files that describe it."""
    described = {
        "info/index.json": json.dumps(index),
        "info/files": "\n".join(files) + "\n",
        "info/paths.json": json.dumps(
            {"paths": [entry(name, held) for name, held in files.items()], "paths_version": 1}
        ),
    }
    with tarfile.open(path, "w:bz2") as archive:
        for name, held in {**described, **files}.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if isinstance(held, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(held)
                archive.addfile(member)
            else:
                member.size = len(held.encode())
                archive.addfile(member, io.BytesIO(held.encode()))


def entry(name: str, held: str | Path) -> dict[str, Any]:
    """A file's line in paths.json."""
    content = held.read_bytes() if isinstance(held, Path) else held.encode()
    kind = "softlink" if isinstance(held, Path) else "hardlink"
    return {
        "_path": name,
        "path_type": kind,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }


def make_conda(root: Path) -> None:
    """`conda` and `activate` in root/bin."""
    (root / "bin").mkdir(parents=True)
    (root / "bin/conda").write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} "$@"\n')
    (root / "bin/activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    (root / "bin/conda").chmod(0o755)


async def create(file: Path, prefix: Path) -> None:
    """Solve an environment file against the channel and install what was found."""
    import rattler

    described = yaml.safe_load(file.read_text())
    assert "conda-forge" in described["channels"], f"{file} does not name conda-forge"
    specs = [rattler.MatchSpec(spec) for spec in described["dependencies"]]
    channel = rattler.Channel(Path(os.environ[CHANNEL]).as_uri())
    records = await rattler.solve([channel], specs, platforms=[PLATFORM, "noarch"])
    await rattler.install(records, target_prefix=prefix, cache_dir=prefix.parent / "packages", show_progress=False)


def main(arguments: list[str]) -> None:
    """The calls that Snakemake makes, and no others."""
    match arguments:
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": str(Path(shutil.which("conda") or "").parents[1]), "platform": PLATFORM}))
        case ["--version"]:
            print("conda 24.7.1")
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", prefix]:
            asyncio.run(create(Path(file), Path(prefix)))
            os._exit(0)  # rattler's threads make the interpreter crash now and then where it ends by itself
        case ["clean", "-y", "--tarballs"]:
            pass  # what was downloaded lies in the environment's own folder
        case _:
            sys.exit(f"this stand-in knows no conda {' '.join(arguments)}")


if __name__ == "__main__":
    main(sys.argv[1:])
