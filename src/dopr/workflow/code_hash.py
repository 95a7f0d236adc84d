"""What code a stage runs, as one hash.

Snakemake sees a rule's command, not the modules behind it. So each rule has as a parameter the hash of its script and
of every dopr module that script imports, directly or not: editing one reruns the stages that use it and what follows,
and nothing else. Comments, docstrings and layout do not count. Neither do dopr.config.schema, dopr.config.data,
dopr.config.recipe and dopr.workflow.rule_params, whose values are parameters of the rules themselves. Selectors are
imported by name, so a rule adds the one it uses; of one from another package its own module counts, and what that
imports from dopr.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from dopr.errors import UserError

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = {"dopr.config.schema", "dopr.config.data", "dopr.config.recipe", "dopr.workflow.rule_params"}


@cache
def code_hash(script: Path, *modules: str) -> str:
    """Hash of a script, the named modules, and all they import from dopr; 16 hex digits."""
    digest = hashlib.sha256(_content(script).encode())
    for module in sorted(closure(script, *modules)):
        digest.update(f"{module}\0{_content(_source(module))}".encode())
    return digest.hexdigest()[:16]


def closure(script: Path, *modules: str) -> set[str]:
    """Names of the dopr modules a script and some modules import, directly or not."""
    found: set[str] = set()
    waiting = [*_imports(script), *modules]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in LEFT_OUT:
            found.add(module)
            waiting += _imports(_source(module))
    return found


def _source(module: str) -> Path:
    """The file of a module: of dopr, or of a package that an entry point names."""
    if module.split(".")[0] != "dopr":
        return _outside(module)
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _outside(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise UserError(f"module {module}, named by an entry point, has no source file; install its package again")
    return Path(found.origin)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def _imports(path: Path) -> list[str]:
    """dopr modules named in a file's import statements."""
    names = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dopr":
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "dopr"]
    return [name for name in names if _source(name).is_file()]


@cache
def _content(path: Path) -> str:
    """A file's syntax tree without docstrings."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
