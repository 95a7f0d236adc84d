"""Hashes of the code that a stage runs: one of each module, and one of all.

Snakemake sees a rule's command, not the modules behind it. So each rule depends on the hash of its script and of every
dopr module that the script imports, directly or not. A change of a module reruns the stages that use it and those
that depend on them. Comments, docstrings, layout, and the words of errors and of what is printed do not count.
dopr.workflow.rule_params does not count either: it imports the modules of every stage, and what it returns are
parameters of the rules. Selectors are imported by name, so a rule adds the one it uses. For a selector from another
package, its own module and its imports from dopr count; for one in a file of the user's, the files beside it that it
imports count too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from dopr.errors import UserError
from dopr.files import digest
from dopr.plugins import neighbours_of

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = {"dopr.workflow.rule_params"}


def code_hash(script: Path, *modules: str) -> str:
    """Return one hash of a script, the named modules, and all they import from dopr; 16 hex digits."""
    return digest(code_hashes(script, *modules))


@cache
def code_hashes(script: Path, *modules: str) -> dict[str, str]:
    """Return the hash of a script and of each module it runs, by name; the script's name ends with .py."""
    hashes = {script.name: _hash(script)}
    return hashes | {module: _hash(_source(module)) for module in sorted(closure(script, *modules))}


def closure(script: Path, *modules: str) -> set[str]:
    """Return the names of the dopr modules that a script and the named modules import, directly or not."""
    names: set[str] = set()
    waiting = [*_imports(script), *modules]
    while waiting:
        module = waiting.pop()
        if module not in names and module not in LEFT_OUT:
            names.add(module)
            waiting += _imports(_source(module))
    return names


def _source(module: str) -> Path:
    """Return the file of a module of dopr, of another package, or of a user's file, which is its own name."""
    if module.endswith(".py"):
        return Path(module)
    if module.split(".")[0] != "dopr":
        return _outside(module)
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _outside(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(
            f"module {module}, which a selector or bound names, has no source file; install its package again"
        )
    return Path(spec.origin)


def with_neighbours(module: str) -> list[str]:
    """Return a module; of a user's file, also the files in its folder that it imports."""
    return [module, *map(str, sorted(neighbours_of(Path(module))))] if module.endswith(".py") else [module]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))  # bytes: the locale's encoding may not be UTF-8


@cache
def _imports(path: Path) -> list[str]:
    """Return the dopr modules named in a file's import statements."""
    names = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dopr":
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "dopr"]
    return [name for name in names if _source(name).is_file()]


@cache
def _hash(path: Path) -> str:
    """Hash a file's syntax tree without docstrings and the texts of messages."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
        elif isinstance(node, ast.Raise) or _is_print(node):
            for text in ast.walk(node):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    text.value = ""
    return hashlib.sha256(_written(tree).encode()).hexdigest()[:16]


def _written(node: Any) -> str:
    """Write a syntax tree as text that is the same for all versions of Python; that of ast.dump is not."""
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f"{name}={_written(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _is_docstring(statement: ast.stmt) -> bool:
    """Return whether a statement is a string alone, as docstrings of modules, classes, functions and attributes are."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
