"""What a bound is to the figure and the table, and how one is found by its name.

A bound is a function

    def bound(constants: Constants, accuracy: FloatArray, **options: float) -> FloatArray

that gives, for each accuracy to be reached, shape (points,), how many rollouts (or prompts: the configuration says
which) its theorem counts. 0 where the theorem excludes nothing, nan where it does not apply. It is called once for the
measured constants and once for each bootstrap replicate of them, so their interval carries into the curve.

A name is that of a module of this package with a function `bound`, or `FILE.py:NAME` or `MODULE:NAME`; options, which
are the numbers that nobody can measure, follow as in `sharpening?dimension=100`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from dopr.analysis.statistics import FloatArray
from dopr.errors import UserError, suggestion
from dopr.plugins import load_function


@dataclass(frozen=True)
class Constants:
    """Numbers of one experiment that bounds stand on, as measured (dopr.bounds.measured_constants) or published; nan is
    not known.

    base: accuracy of the starting policy, the mean over benchmarks. coverage: C, at least 1: the mean over solvable
    questions of 1 / (pass rate of the starting policy). divergence: nats; the KL divergence of the trained policy from
    the starting one is at least this. inverse_kl: eta, 1 / (weight of the KL term in training); inf where it has none.
    delta: error allowed to a test, within (0, 1/2). prompts: in the training pool.
    """

    base: float
    coverage: float
    divergence: float
    inverse_kl: float
    delta: float
    prompts: float


@dataclass(frozen=True)
class Bound:
    """A bound with its options set: called with Constants and accuracies, it counts. name: as in the configuration."""

    name: str
    function: Callable[..., FloatArray]
    options: dict[str, float]

    def __call__(self, constants: Constants, accuracy: FloatArray) -> FloatArray:
        """Rollouts (or prompts) for each accuracy, shape (points,).

        Raises:
            UserError: the function gave something of another shape, or a negative number.
        """
        found = np.asarray(self.function(constants, accuracy, **self.options), dtype=np.float64)
        if found.shape != accuracy.shape:
            raise UserError(f"bound {self.name}: gave shape {found.shape} for accuracies of shape {accuracy.shape}")
        if (found < 0).any():
            raise UserError(f"bound {self.name}: gave {found.min():g}; counts are not below 0")
        return found

    @property
    def title(self) -> str:
        """For readers: `sharpening, dimension 100`, or the function's own name."""
        name = self.name.partition("?")[0].rpartition(":")[2].replace("_", " ")
        return ", ".join([name, *(f"{key} {value:g}" for key, value in self.options.items())])


def built_in() -> list[str]:
    """Names of the bounds that come with dopr: the modules beside this one that have a function `bound`."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if "\ndef bound(" in path.read_text())


def place_of(name: str) -> str:
    """Where the function of a name lies: FILE.py:NAME or MODULE:NAME.

    Raises:
        UserError: there is no bound of that name.
    """
    place = name.partition("?")[0]
    if ":" in place:
        return place
    if place not in built_in():
        raise UserError(f"{place!r} is no bound{suggestion(place, built_in())}; one of your own is FILE.py:NAME")
    return f"dopr.bounds.{place}:bound"


def find_bound(name: str) -> Bound:
    """The bound of a name with its options.

    Raises:
        UserError: there is none, it cannot be loaded, or it does not take an option.
    """
    query = name.partition("?")[2]
    function = load_function(place_of(name))
    taken = list(inspect.signature(function).parameters)[2:]
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in taken:
            raise UserError(f"bound {name}: takes no option {key!r}{suggestion(key, taken)}")
        try:
            options[key] = float(value)
        except ValueError:
            raise UserError(f"bound {name}: {key}={value} is no number; give one") from None
    return Bound(name, function, options)
