"""How checkpoints are evaluated: the `evaluate` section of the configuration, and its named profiles.

    embedded  2 samples at temperature 1, and 1 between the first and the last checkpoint: the small policy saturates
              when decoded greedily
    paper     the protocol of 1-shot RLVR (arXiv 2504.20571, and its code): 8 samples at temperature 0.6 on AIME and
              AMC, one greedy completion on every other benchmark, 3072 new tokens. Its top_p is 1, so there is no such
              setting. Its pass@8 is the mean over these 8 samples, which is avg@8 here. The grader is set by `verify`
    rigorous  32 samples on AIME and AMC, which have 30 and 40 questions, and 8 on the rest, at temperature 0.6: ours

A key that is given beside `profile` overrides the profile. In a mapping, single benchmarks override it.
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
    "embedded": {"samples": 2, "between": 1, "temperature": 1.0, "pass_at": [1, 2]},
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
    """When and how checkpoints are evaluated."""

    profile: Literal["embedded", "paper", "rigorous"] = "embedded"
    """Named settings for the keys that are null or not given."""
    rollouts: list[PositiveInt] | None = None
    """Numbers of training rollouts, not of steps, after which checkpoints are evaluated.

    null is the largest budget of a method and its half, quarter, eighth and sixteenth.
    """
    samples: PositiveInt | dict[str, PositiveInt]
    """Sampled completions of each question, or a mapping from benchmarks to it. `default` is for those not named."""
    temperature: Temperature | dict[str, Temperature]
    """Sampling temperature, or a mapping from benchmarks to it. At 0 there is one sample, the greedy completion."""
    max_new_tokens: PositiveInt | None = None
    """Token limit of a completion. null is rollout.max_new_tokens."""
    between: PositiveInt | None = None
    """Samples of each question at checkpoints between the first and the last.

    They have no greedy completion then, but where it is the sample, at temperature 0. They are for curves alone. null
    is the profile's; where it has none, or where another checkpoint than the last is reported, all checkpoints have the
    same.
    """
    pass_at: list[PositiveInt]
    """Values of k in pass@k. A benchmark needs k samples to show it."""
    reward: str | dict[str, str | None] | None = None
    """A reward function (dopr.grading.rewards), FILE.py:NAME or MODULE:NAME, that replaces the grader.

    A mapping gives one for each benchmark. null is the grader.
    """
    checkpoint: CheckpointRule = "last"
    """The checkpoint of a run that tables of final accuracies show."""
    targets: Annotated[list[Share], Field(min_length=1)]
    """Accuracies at which methods are compared by the rollouts they need."""
    reference: str | None = None
    """The method that savings are measured against. null is the first method."""
    bootstrap: PositiveInt
    """Number of bootstrap replicates."""

    @model_validator(mode="before")
    @classmethod
    def _profile_settings(cls, raw: Any) -> Any:
        """Fill keys that are null or not given from the profile; pydantic rejects what is no section or profile."""
        if not isinstance(raw, dict):
            return raw
        given = {key: value for key, value in raw.items() if value is not None}
        settings = dict(PROFILES.get(str(given.get("profile", "embedded")), {}))
        if given.get("checkpoint", "last") != "last":  # then any may be reported, so that all need the same samples
            settings.pop("between", None)
        return merge(settings, given)

    @model_validator(mode="after")
    def _check_between(self) -> Evaluate:
        if self.between and self.checkpoint != "last":
            raise ValueError(
                f"between: {self.between} goes with checkpoint: last, as any other may be reported; leave it out"
            )
        return self

    def by_benchmark(self, benchmarks: Iterable[str]) -> tuple[dict[str, int], dict[str, float]]:
        """Return the number of samples and the temperature of each benchmark.

        Raises:
            ValueError: A key names no benchmark, a benchmark has no value, temperature 0 has more than one sample, or
                no benchmark has as many samples as pass@k needs.
        """
        names = list(benchmarks)
        samples = _for_each("samples", self.samples, names)
        temperature = _for_each("temperature", self.temperature, names)
        for name in names:
            if temperature[name] == 0 and samples[name] > 1:
                raise ValueError(
                    f"evaluate.samples: {samples[name]} samples of {name} at evaluate.temperature 0 would all be "
                    "equal; give 1, or a temperature"
                )
        most_samples = max(samples.values(), default=0)
        if max(self.pass_at, default=0) > most_samples:
            raise ValueError(
                f"evaluate.pass_at: {max(self.pass_at)} needs as many samples, but evaluate.samples is {most_samples}"
            )
        return samples, temperature

    def functions(self, benchmarks: Iterable[str]) -> dict[str, str]:
        """Return the reward function of each benchmark that has one; the grader grades the others.

        Raises:
            ValueError: A key names no benchmark.
        """
        by_name = self.reward if isinstance(self.reward, dict) else {"default": self.reward}
        functions = _for_each("reward", {"default": None, **by_name}, list(benchmarks))
        return {benchmark: function for benchmark, function in functions.items() if function}


def _for_each(key: str, setting: Value | Mapping[str, Value], names: list[str]) -> dict[str, Value]:
    """Return a setting's value for each benchmark name."""
    if not isinstance(setting, Mapping):
        return dict.fromkeys(names, setting)
    for name in setting:
        if name not in (*names, "default", *COMPETITIONS):
            raise ValueError(f"evaluate.{key}.{name}: is no benchmark{suggestion(name, names)}")
    for name in names:
        if name not in setting and "default" not in setting:
            raise ValueError(f"evaluate.{key}: has no value for {name}; name it, or give a default")
    return {name: setting[name] if name in setting else setting["default"] for name in names}
