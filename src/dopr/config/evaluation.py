"""How checkpoints are evaluated: the `evaluate` section of the configuration, and its named profiles.

    embedded  4 samples at temperature 1: the small policy saturates when decoded greedily
    paper     1-shot RLVR's protocol (arXiv 2504.20571, and its code): 8 samples at temperature 0.6 on AIME and AMC, one
              greedy completion on every other benchmark, 3072 new tokens. Its top_p is 1, so there is no such setting.
              What it calls pass@8 is the mean over these 8 samples, avg@8 here. The grader is a setting of its own
    rigorous  32 samples on AIME and AMC, which have 30 and 40 questions, and 8 on the rest, at temperature 0.6: ours

A key that is given beside `profile` overrides it, single benchmarks of a mapping included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from dopr.config.inheritance import merge
from dopr.config.section import PositiveInt, Section, Share
from dopr.errors import suggestion

CheckpointRule = Literal["last", "best_on_validation"]
Temperature = Annotated[float, Field(ge=0)]
Value = TypeVar("Value", int, float, str | None)

COMPETITIONS = ("aime24", "aime25", "amc23")
PROFILES: dict[str, dict[str, Any]] = {
    "embedded": {"samples": 4, "temperature": 1.0, "pass_at": [1, 4]},
    "paper": {
        "samples": {"default": 1, **dict.fromkeys(COMPETITIONS, 8)},
        "temperature": {"default": 0.0, **dict.fromkeys(COMPETITIONS, 0.6)},
        "max_new_tokens": 3072,
        "pass_at": [1, 8],
    },
    "rigorous": {
        "samples": {"default": 8, **dict.fromkeys(COMPETITIONS, 32)},
        "temperature": 0.6,
        "pass_at": [1, 8],
    },
}


class Evaluate(Section):
    """When and how checkpoints are evaluated. `rollouts` lists training rollouts, not steps: the same for all; null is
    the largest budget of a method and its half, quarter, eighth and sixteenth.

    samples, temperature: a number, or a mapping from benchmarks to numbers, `default` for those not named.
    max_new_tokens: null is rollout.max_new_tokens. pass_at: k of pass@k, shown for benchmarks with as many samples.
    reward: FILE.py:NAME or MODULE:NAME, or a mapping likewise: a reward function (dopr.grading.rewards) in the grader's
    place;
        null is the grader. checkpoint: which one of a run the tables of final accuracies take. reference: the method
        that savings are measured against; null is the first.
    """

    profile: Literal["embedded", "paper", "rigorous"] = "embedded"
    rollouts: list[PositiveInt] | None = None
    samples: PositiveInt | dict[str, PositiveInt]
    temperature: Temperature | dict[str, Temperature]
    max_new_tokens: PositiveInt | None = None
    pass_at: list[PositiveInt]
    reward: str | dict[str, str | None] | None = None
    checkpoint: CheckpointRule = "last"
    targets: Annotated[list[Share], Field(min_length=1)]
    reference: str | None = None
    bootstrap: PositiveInt

    @model_validator(mode="before")
    @classmethod
    def _profile_settings(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """What is not given, or null, is the profile's; a profile that does not exist is refused with its key."""
        given = {key: value for key, value in raw.items() if value is not None}
        return merge(PROFILES.get(given.get("profile", "embedded"), {}), given)

    def by_benchmark(self, benchmarks: Iterable[str]) -> tuple[dict[str, int], dict[str, float]]:
        """Samples and temperature of each benchmark.

        Raises:
            ValueError: a key names no benchmark, a benchmark has no value, temperature 0 is sampled more than once, or
                no benchmark has as many samples as pass@k needs.
        """
        names = list(benchmarks)
        samples = _spread("samples", self.samples, names)
        temperature = _spread("temperature", self.temperature, names)
        for name in names:
            if temperature[name] == 0 and samples[name] > 1:
                raise ValueError(
                    f"evaluate.samples: {samples[name]} samples of {name} at temperature 0 would all be equal; "
                    "give 1, or a temperature"
                )
        most = max(samples.values(), default=0)
        if max(self.pass_at, default=0) > most:
            raise ValueError(f"evaluate.pass_at: {max(self.pass_at)} needs as many samples, but there are {most}")
        return samples, temperature

    def functions(self, benchmarks: Iterable[str]) -> dict[str, str]:
        """The reward function of each benchmark that has one; the grader judges the others.

        Raises:
            ValueError: a key names no benchmark.
        """
        by_name = self.reward if isinstance(self.reward, dict) else {"default": self.reward}
        found = _spread("reward", {"default": None, **by_name}, list(benchmarks))
        return {benchmark: name for benchmark, name in found.items() if name}


def _spread(key: str, setting: Value | Mapping[str, Value], names: list[str]) -> dict[str, Value]:
    if not isinstance(setting, Mapping):
        return dict.fromkeys(names, setting)
    for name in setting:
        if name not in (*names, "default", *COMPETITIONS):
            raise ValueError(f"evaluate.{key}.{name}: is no benchmark{suggestion(name, names)}")
    for name in names:
        if name not in setting and "default" not in setting:
            raise ValueError(f"evaluate.{key}: has no value for {name}; name it, or give a default")
    return {name: setting[name] if name in setting else setting["default"] for name in names}
