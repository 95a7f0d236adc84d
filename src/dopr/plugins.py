"""User functions and classes, named in the configuration as FILE.py:NAME or MODULE:NAME.

A file may import its neighbours: modules and packages in its own folder. Their content counts as the file's own.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from dopr.errors import UserError
from dopr.files import digest, sha256


def load_callable(name: str) -> Callable[..., Any]:
    """Load the function or class that FILE.py:NAME or MODULE:NAME names.

    Raises:
        UserError: If there is no such file, module or name in it, or it cannot be imported.
    """
    source, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        loaded: Callable[..., Any] = getattr(module, attribute)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be loaded ({error}); give FILE.py:NAME or MODULE:NAME") from None
    except Exception as error:
        raise UserError(f"{name!r} cannot be loaded ({_in_one_line(error)}); mend the file") from None
    return loaded


def _in_one_line(error: Exception) -> str:
    """Return the file and the line of an error in the user's code, and what is wrong there."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {' '.join(str(error).split())}"


def own_code(name: str) -> str | None:
    """Return the hash of the user's file and its neighbours, so that a change starts a new run; None for a module."""
    file = Path(name.rpartition(":")[0])
    if file.suffix != ".py" or not file.is_file():
        return None
    neighbours = {str(path.relative_to(file.parent)): sha256(path) for path in sorted(neighbours_of(file))}
    return digest({file.name: sha256(file), **neighbours}) if neighbours else sha256(file)


def neighbours_of(file: Path) -> set[Path]:
    """Return the files in a file's folder that it imports, directly or not; all of a package that it imports."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for name in _imported(waiting.pop()):
            module, package = file.parent / f"{name}.py", file.parent / name
            for path in [module] if module.is_file() else package.rglob("*.py"):
                if path not in found and path != file:
                    found.add(path)
                    waiting.append(path)
    return found


def _imported(file: Path) -> Iterator[str]:
    """Yield the first part of the names that a file imports, without the standard library."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # load_callable says so
        return
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from (top for top in (name.partition(".")[0] for name in names) if top not in sys.stdlib_module_names)


def _load_file(file: Path) -> ModuleType:
    """Run a file as a module. Its folder stays at the end of sys.path, for imports within its functions."""
    spec = importlib.util.spec_from_file_location(str(file.resolve()), file)
    assert spec is not None  # always true for a file that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses looks for the names of types
    folder = str(file.parent.resolve())
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    finally:
        sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)
    _check_neighbours(file)
    return module


def _check_neighbours(file: Path) -> None:
    """Raise ImportError if a neighbour has the name of a module that was imported from elsewhere."""
    for path in neighbours_of(file):
        loaded = getattr(sys.modules.get(path.stem), "__file__", None) if path.parent == file.parent else None
        if loaded and not path.samefile(loaded):
            raise ImportError(f"{path.name} has the name of {loaded}, which is imported already: rename it")
