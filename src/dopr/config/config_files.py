"""The files that a configuration is merged from, each laid over those before it, and which of them a key comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dopr.config.inheritance import merge
from dopr.errors import ConfigError
from dopr.files import DataError

BASE = "config.yaml"


@dataclass(frozen=True)
class ConfigFiles:
    """File name -> its content, in the order in which they are merged."""

    contents: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, paths: Sequence[Path], options: Mapping[str, Any] | None = None) -> ConfigFiles:
        """Files, and options of the command line over them.

        Raises:
            DataError: a file is missing or no mapping.
        """
        contents = {shown(path): _content(path) for path in paths}
        return cls({**contents, "--config": options} if options else contents)

    def merged(self) -> dict[str, Any]:
        """All in one, as Snakemake merges them."""
        whole: dict[str, Any] = {}
        for content in self.contents.values():
            whole = merge(whole, dict(content))
        return whole

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Within it, a ConfigError of the form `key: problem` gets the name of the file that the key comes from.

        Raises:
            ConfigError: the one that was raised, with that name.
        """
        try:
            yield
        except ConfigError as error:
            raise ConfigError(self.named(str(error))) from None

    def named(self, problem: str) -> str:
        """`key: problem` as `FILE: key: problem`, with the last file that holds the key.

        What a recipe has from the one that it is like, or from `train`, is named by its key there. Of a key that no
        file holds it is the last file that holds what the key should be in.
        """
        key, _, rest = problem.partition(": ")
        for place in self._places(key):
            holders = self._holders(place)
            if holders:
                return f"{holders[-1]}: {place}: {rest}"
        while key:
            key = key.rpartition(".")[0]
            if key and self._holders(key):
                return f"{self._holders(key)[-1]}: {problem}"
        return f"{next(iter(self.contents))}: {problem}"

    def _holders(self, key: str) -> list[str]:
        return [name for name, content in self.contents.items() if holds(content, key)]

    def _places(self, key: str) -> Iterator[str]:
        """A key, and for a recipe's the other ones that it may have its value from."""
        yield key
        recipes = self.merged().get("recipes")
        for name, recipe in recipes.items() if isinstance(recipes, Mapping) else ():
            before, found, rest = key.partition(f"recipes.{name}.")
            if found and not before:
                like = recipe.get("like") if isinstance(recipe, Mapping) else None
                yield from ([f"recipes.{like}.{rest}"] if like else [])
                yield f"train.{rest}"


def holds(content: Any, key: str) -> bool:
    """Whether a mapping of mappings has a dotted key; names may hold dots, and a list holds all that is said of it."""
    if not key or isinstance(content, list):
        return True
    if not isinstance(content, Mapping):
        return False
    return any(
        holds(value, key[len(str(name)) + 1 :])
        for name, value in content.items()
        if key == str(name) or key.startswith(f"{name}.")
    )


def shown(path: Path) -> str:
    """A file as its user would write it: from the present folder, if it lies there."""
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


def _content(path: Path) -> dict[str, Any]:
    import yaml  # environments in which a job runs have none

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no keys and values")
    return content
