"""How often and how hot each benchmark is sampled, by profile, number and name."""

from __future__ import annotations

import pytest

from dopr.config.evaluation import Evaluate
from dopr.config.schema import Config, ConfigError
from dopr.workflow.rule_params import RuleParams

REST = {"rollouts": [8], "targets": [0.5], "reference": "grpo", "bootstrap": 10}
SIX = ("math500", "aime24", "aime25", "amc23", "minerva_math", "olympiadbench")


def test_the_papers_protocol():
    samples, temperature = Evaluate(profile="paper", **REST).by_benchmark(SIX)
    assert samples == {"math500": 1, "aime24": 8, "aime25": 8, "amc23": 8, "minerva_math": 1, "olympiadbench": 1}
    assert temperature == {name: 0.6 if n == 8 else 0.0 for name, n in samples.items()}
    assert Evaluate(profile="paper", **REST).max_new_tokens == 3072


def test_the_rigorous_protocol():
    samples, temperature = Evaluate(profile="rigorous", **REST).by_benchmark(SIX)
    assert samples == {name: 32 if name in ("aime24", "aime25", "amc23") else 8 for name in SIX}
    assert set(temperature.values()) == {0.6}


def test_what_is_given_overrides_the_profile_benchmark_by_benchmark():
    settings = Evaluate(profile="paper", samples={"aime24": 64}, **REST)
    assert settings.by_benchmark(SIX)[0] == {**Evaluate(profile="paper", **REST).by_benchmark(SIX)[0], "aime24": 64}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"samples": 4, "pass_at": [8]}, "evaluate.pass_at: 8 needs as many samples, but evaluate.samples is 4"),
        ({"samples": {"chain3": 2}}, "evaluate.samples: has no value for chain5; name it, or give a default"),
        ({"samples": {"default": 4, "chian3": 2}}, "evaluate.samples.chian3: is no benchmark; did you mean 'chain3'?"),
        ({"temperature": 0}, "evaluate.samples: 2 samples of chain3 at evaluate.temperature 0 would all be equal"),
    ],
)
def test_settings_that_do_not_fit_are_refused(raw, changes, problem):
    raw["data"]["benchmarks"] = {"both": ["chain3", "chain5"]}
    raw["evaluate"] |= changes
    with pytest.raises(ConfigError) as caught:
        Config.parse(raw)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("reward", "functions"),
    [
        (None, {}),
        ("my.py:score", {"exam": "my.py:score", "quiz": "my.py:score"}),
        ({"exam": "my.py:score"}, {"exam": "my.py:score"}),
        ({"default": "my.py:score", "exam": None}, {"quiz": "my.py:score"}),
    ],
)
def test_reward_functions_by_benchmark_the_grader_judges_the_rest(reward, functions):
    assert Evaluate(reward=reward, **REST).functions(["exam", "quiz"]) == functions


def test_a_reward_of_what_is_no_benchmark_is_refused(raw):
    raw["evaluate"]["reward"] = {"chian3": "my.py:score"}
    with pytest.raises(ConfigError, match=r"evaluate.reward.chian3: is no benchmark; did you mean 'chain3'"):
        Config.parse(raw)


def test_validation_questions_have_settings_of_their_own(raw):
    raw["data"]["validation"] = {"source": "dsr_sub", "size": 20}
    params = RuleParams(Config.parse(raw)).evaluate()
    assert params.samples["dsr_sub"] == 2
    raw["evaluate"]["samples"] = dict.fromkeys(
        (name for group in raw["data"]["benchmarks"].values() for name in group), 4
    )
    with pytest.raises(ConfigError, match=r"evaluate.samples: has no value for dsr_sub; name it, or give a default"):
        Config.parse(raw)
