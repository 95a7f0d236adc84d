"""What a part of the configuration takes from another: single keys change, and the others stay as they are."""

from __future__ import annotations

from typing import Any

from dopr.errors import suggestion


def inherit(name: str, recipe: dict[str, Any], recipes: dict[str, Any]) -> dict[str, Any]:
    """A recipe with what it leaves out taken from the recipe that its key `like` names.

    Raises:
        ValueError: there is no such recipe, or it is itself like another one.
    """
    if "like" not in recipe:
        return recipe
    other = str(recipe["like"])
    parent = recipes.get(other)
    if not isinstance(parent, dict):
        raise ValueError(f"recipes.{name}.like: {other!r} is not defined{suggestion(other, list(recipes))}")
    if "like" in parent:
        raise ValueError(f"recipes.{name}.like: {other!r} is itself like {parent['like']!r}; name that one")
    return merge(parent, {key: value for key, value in recipe.items() if key != "like"})


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with single keys changed by `above`; lists are replaced whole."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = merge(below[key], above[key])
    return merged
