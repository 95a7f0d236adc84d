"""The files that a configuration is merged from, and which of them a key comes from. Later files override earlier."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dopr.config.inheritance import merge
from dopr.errors import ConfigError
from dopr.files import DataError

BASE = "config.yaml"
MENTIONED = re.compile(r"`\w+`|\b[a-z_]+(?:\.[\w-]+)+")  # keys in the text of a problem


@dataclass(frozen=True)
class ConfigFiles:
    """File name -> its content, in the order in which they are merged."""

    contents: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, paths: Sequence[Path], given: Mapping[str, Mapping[str, Any] | None] | None = None) -> ConfigFiles:
        """Read files. What is given otherwise, by where it comes from, overrides them.

        Raises:
            DataError: A file is missing or holds no mapping.
        """
        contents = {_relative_to_cwd(path): _content(path) for path in paths}
        return cls({**contents, **{name: content for name, content in (given or {}).items() if content}})

    def merged(self) -> dict[str, Any]:
        """Merge all files as Snakemake does."""
        merged: dict[str, Any] = {}
        for content in self.contents.values():
            merged = merge(merged, dict(content))
        return merged

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Add the file that a key comes from to any ConfigError `key: problem` that the block raises.

        Raises:
            ConfigError: The error of the block, with the file's name.
        """
        try:
            yield
        except ConfigError as error:
            raise ConfigError(self.named(str(error))) from None

    def named(self, problem: str) -> str:
        """Turn `key: problem` into `FILE: key: problem`, with the last file that has the key.

        A recipe may get a value from its `like` recipe or from `train`. Then the key there is named. If no file has the
        key, the last file that has its nearest parent is named. If the problem mentions another key, dotted or in
        backticks, that a later file has, the later file is named: what it changed does not fit the rest.
        """
        problem = " ".join(problem.splitlines())  # a value may have several lines
        key, _, rest = problem.partition(": ")
        origin, files = min(map(self._holders, self._origins(key)), key=lambda found: found[2])[:2]
        mentioned = [file for other in MENTIONED.findall(rest) for file in self._files_with(other.strip("`"))]
        order = list(self.contents)
        file = max([*files[-1:], *mentioned], key=order.index, default=order[0])
        return f"{file}: {origin}: {rest}" if rest else f"{file}: {problem}"

    def _holders(self, key: str) -> tuple[str, list[str], int]:
        """Return a key, the files that have it or its nearest parent, and how many parts of it they lack."""
        part, lacking = key, 0
        while part and not self._files_with(part):
            part, lacking = part.rpartition(".")[0], lacking + 1
        return key, self._files_with(part) if part else [], lacking

    def _files_with(self, key: str) -> list[str]:
        return [name for name, content in self.contents.items() if has_key(content, key)]

    def _origins(self, key: str) -> Iterator[str]:
        """Yield a key, and the keys that a recipe's key may get its value from."""
        yield key
        recipes = self.merged().get("recipes")
        for name, recipe in recipes.items() if isinstance(recipes, Mapping) else ():
            before, found, rest = key.partition(f"recipes.{name}.")
            if found and not before:
                like = recipe.get("like") if isinstance(recipe, Mapping) else None
                yield from ([f"recipes.{like}.{rest}"] if like else [])
                yield f"train.{rest}"


def has_key(content: Any, key: str) -> bool:
    """Return whether nested mappings have a dotted key. Names may have dots. Lists are not searched: they have any."""
    if not key or isinstance(content, list):
        return True
    if not isinstance(content, Mapping):
        return False
    return any(
        has_key(value, key[len(str(name)) + 1 :])
        for name, value in content.items()
        if key == str(name) or key.startswith(f"{name}.")
    )


def _relative_to_cwd(path: Path) -> str:
    """Return a path as its user would write it: relative to the current folder if it is inside."""
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


def _content(path: Path) -> dict[str, Any]:
    import yaml  # the environments that jobs run in do not have it

    if path.is_dir():
        raise DataError(f"{path}: a folder; give a file of it")
    if not path.is_file():
        place = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise DataError(f"{path}: no such file{place}; give its path")
    text = path.read_bytes()  # YAML is UTF-8 in every locale
    try:
        check_keys(path, yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise DataError(f"{path}: line {line} is no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise DataError(f"{path}: no YAML in UTF-8: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no keys and values")
    return content


def check_keys(path: Path, root: Any) -> None:
    """Check that no mapping of a YAML file has a key twice, or a key that YAML takes for true or false.

    YAML would take the last of two values without a word, and `no` for false.

    Args:
        path: The file, for the message.
        root: Its root node; None for an empty file.

    Raises:
        ConfigError: A key stands twice, or is `yes`, `no`, `on` or `off`; names its place and lines.
    """
    waiting, seen = [("", root)], set()
    while waiting:
        parent, node = waiting.pop(0)
        if id(node) in seen:  # an alias of a node that was looked at
            continue
        seen.add(id(node))
        if node and node.id == "sequence":
            waiting += [(f"{parent}{i}.", value) for i, value in enumerate(node.value)]
        elif node and node.id == "mapping":
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if key.tag.endswith(":bool"):
                    raise ConfigError(f'{path}: {parent}{name}: YAML reads this key as true or false; write "{name}"')
                if name in lines:
                    raise ConfigError(
                        f"{path}: {parent}{name}: stands twice, in lines {lines[name]} and {line}; remove one"
                    )
                lines[name] = line
                waiting.append((f"{parent}{name}.", value))
