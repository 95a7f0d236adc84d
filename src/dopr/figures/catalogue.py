"""Catalogue of figures: names, the module that draws each, and drawing from an experiment's results on disk."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dopr.errors import UserError, suggestion

if TYPE_CHECKING:  # Snakemake asks for names only; these imports would cost it a second
    import pandas as pd
    from matplotlib.figure import Figure

    from dopr.analysis.results import Results
    from dopr.config.schema import Config

WHOLE = (
    "performance_profile",
    "training",
    "responses",
    "acquisition",
    "informative",
    "complexity",
    "ablation",
    "ratio",
)
OF_A_POOL = ("selection", "profile", "replay")
CURVES = "accuracy_vs_"


def module_of(name: str) -> tuple[str, str]:
    """Return the module of dopr.figures that draws a figure, and its `part`: a pool, a cost, or the empty string.

    Names are those of the modules, `accuracy_vs_COST`, and `selection_POOL`, `profile_POOL` and `replay_POOL`.

    Raises:
        UserError: There is no such figure.
    """
    if name in WHOLE:
        return f"dopr.figures.{name}", ""
    if name.startswith(CURVES):
        return "dopr.figures.curves", name.removeprefix(CURVES)
    kind, _, pool = name.partition("_")
    if kind in OF_A_POOL and pool:
        return f"dopr.figures.{kind}", pool
    known = [*WHOLE, f"{CURVES}rollouts", *(f"{each}_POOL" for each in OF_A_POOL)]
    raise UserError(f"there is no figure {name!r}{suggestion(name, known)}; known are {', '.join(known)}")


def make_figure(name: str, results: Results, config: Config) -> tuple[Figure, pd.DataFrame]:
    """Return a figure and the numbers behind it.

    Raises:
        UserError: There is no such figure, or a result that it needs is missing or damaged.
    """
    module, part = module_of(name)
    figure, frame = importlib.import_module(module).make(results, config, part)
    return figure, frame
