"""Inheritance between parts of the configuration: given keys override, and the others are taken over."""

from __future__ import annotations

from typing import Any

from dopr.errors import suggestion


def inherit(name: str, recipe: dict[str, Any], recipes: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe whose missing keys come from the recipe that its key `like` names.

    Raises:
        ValueError: There is no such recipe, or it has a `like` itself.
    """
    if "like" not in recipe:
        return recipe
    parent_name = str(recipe["like"])
    parent = recipes.get(parent_name)
    if not isinstance(parent, dict):
        raise ValueError(f"recipes.{name}.like: {parent_name!r} is not defined{suggestion(parent_name, list(recipes))}")
    if "like" in parent:
        raise ValueError(f"recipes.{name}.like: {parent_name!r} is itself like {parent['like']!r}; name that one")
    return merge(parent, {key: value for key, value in recipe.items() if key != "like"})


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings recursively. Values of `overrides` win, and a list replaces a list."""
    merged = {**base, **overrides}
    for key in base.keys() & overrides.keys():
        if isinstance(base[key], dict) and isinstance(overrides[key], dict):
            merged[key] = merge(base[key], overrides[key])
    return merged
