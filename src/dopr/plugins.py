"""Functions of the user's own, named in the configuration as FILE.py:NAME or MODULE:NAME."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dopr.errors import UserError
from dopr.files import sha256


def load_function(name: str) -> Callable[..., Any]:
    """The function that FILE.py:NAME or MODULE:NAME names.

    Raises:
        UserError: there is no such file, module or function.
    """
    place, _, function = name.rpartition(":")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None  # a file that ends in .py has one
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        found: Callable[..., Any] = getattr(module, function)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be loaded ({error}); give FILE.py:NAME or MODULE:NAME") from None
    return found


def own_code(name: str) -> str | None:
    """The hash of the user's file that a name lies in, so that another content is another run; None for a module."""
    file = Path(name.rpartition(":")[0])
    return sha256(file) if file.suffix == ".py" and file.is_file() else None
