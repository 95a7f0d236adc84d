"""The interface of bounds, and how a bound is found by its name.

A bound is a function

    def bound(constants: Constants, accuracy: FloatArray, **options: float) -> FloatArray

It returns the number of rollouts of its theorem for each accuracy to be reached, `[points]`. The configuration may list
it as a number of prompts instead. The number is 0 where the theorem excludes nothing, and nan where it does not apply.
The function is called for the measured constants and for each bootstrap replicate of them, so the curve has their
interval.

A module of bounds declares what they count, as `KIND: Kind`. Without it they count as needed to learn:

    needed to learn: no learner reaches the accuracy with less. It rises with the accuracy.
    needed to detect: no test distinguishes it from the starting policy's with less. It falls with the accuracy.
    enough for another learner: some learner, not necessarily the one that was run, reaches the accuracy with as much.

The figure of sample complexity draws the first kind only. The table of bounds has all of them.

A name is a module of this package with a function `bound`, or `FILE.py:NAME` or `MODULE:NAME`. Options follow as in
`sharpening?dimension=100`. They are the numbers that cannot be measured.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl

import numpy as np

from dopr.analysis.statistics import FloatArray
from dopr.errors import UserError, suggestion
from dopr.plugins import load_callable

Kind = Literal["needed to learn", "needed to detect", "enough for another learner"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Constants:
    """The constants of bounds in one experiment, measured by dopr.bounds.measured_constants.

    A constant that is not known is nan.

    Attributes:
        base: Accuracy of the starting policy, averaged over benchmarks.
        coverage: C >= 1, the mean over solvable questions of 1 / (pass rate of the starting policy).
        divergence: Lower bound on the KL divergence of the trained policy from the starting policy, in nats.
        inverse_kl: eta, 1 / (weight of the KL term in training); inf without a KL term.
        delta: Error probability of a test, within (0, 1/2).
        prompts: Number of prompts in the training pool.
    """

    base: float
    coverage: float
    divergence: float
    inverse_kl: float
    delta: float
    prompts: float


@dataclass(frozen=True)
class Bound:
    """A bound with its options set. `name` is as in the configuration, `kind` is what it counts."""

    name: str
    function: Callable[..., FloatArray]
    options: dict[str, float]
    kind: Kind

    def __call__(self, constants: Constants, accuracy: FloatArray) -> FloatArray:
        """Return the number of rollouts (or prompts) for each accuracy, `[points]`.

        Raises:
            UserError: The function returned another shape, or a negative number.
        """
        counts = np.asarray(self.function(constants, accuracy, **self.options), dtype=np.float64)
        if counts.shape != accuracy.shape:
            raise UserError(f"bound {self.name}: gave shape {counts.shape} for accuracies of shape {accuracy.shape}")
        if (counts < 0).any():
            raise UserError(f"bound {self.name}: gave {counts.min():g}; counts are not below 0")
        return counts

    @property
    def title(self) -> str:
        """The display name, such as `sharpening, dimension 100`, or the name of your own function."""
        name = self.name.partition("?")[0].rpartition(":")[2].replace("_", " ")
        return ", ".join([name, *(f"{key} {value:g}" for key, value in self.options.items())])


def built_in() -> list[str]:
    """Return the names of dopr's own bounds: the modules of this package that have a function `bound`."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if "\ndef bound(" in path.read_text(encoding="utf-8")
    )


def place_of(name: str) -> str:
    """Return the function of a bound as FILE.py:NAME or MODULE:NAME.

    Raises:
        UserError: There is no bound with that name.
    """
    base_name = name.partition("?")[0]
    if ":" in base_name:
        return base_name
    if base_name not in built_in():
        raise UserError(
            f"{base_name!r} is no bound{suggestion(base_name, built_in())}; one of your own is FILE.py:NAME"
        )
    return f"dopr.bounds.{base_name}:bound"


def find_bound(name: str) -> Bound:
    """Load the bound with a name and set its options.

    Raises:
        UserError: There is no such bound, it cannot be loaded, it has no such option, or its KIND is unknown.
    """
    query = name.partition("?")[2]
    function = load_callable(place_of(name))
    known = list(inspect.signature(function).parameters)[2:]
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            raise UserError(f"bound {name}: takes no option {key!r}{suggestion(key, known)}")
        try:
            options[key] = float(value)
        except ValueError:
            raise UserError(f"bound {name}: {key}={value} is no number; give one") from None
    kind = getattr(function, "__globals__", {}).get("KIND", KINDS[0])
    if kind not in KINDS:
        raise UserError(f"bound {name}: KIND is {kind!r}{suggestion(str(kind), list(KINDS))}")
    return Bound(name, function, options, kind)
