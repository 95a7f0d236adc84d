"""User functions, named in the configuration as FILE.py:NAME or MODULE:NAME."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dopr.errors import UserError
from dopr.files import sha256


def load_function(name: str) -> Callable[..., Any]:
    """Load the function that FILE.py:NAME or MODULE:NAME names.

    Raises:
        UserError: If there is no such file, module or function.
    """
    source, _, function = name.rpartition(":")
    try:
        if source.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(source).stem, source)
            assert spec is not None  # always true for a file that ends in .py
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        loaded: Callable[..., Any] = getattr(module, function)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be loaded ({error}); give FILE.py:NAME or MODULE:NAME") from None
    return loaded


def own_code(name: str) -> str | None:
    """Return the hash of the user's file, so that a change of it starts a new run; None for a module."""
    file = Path(name.rpartition(":")[0])
    return sha256(file) if file.suffix == ".py" and file.is_file() else None
