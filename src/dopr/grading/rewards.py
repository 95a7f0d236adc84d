r"""Reward functions of rollouts, by kind. All kinds but `verdict` and `function` are controls.

    verdict      1 if the answer is correct, else 0: reinforcement learning with verifiable rewards. For a question of
                 reasoning-gym it is the score of its own scorer, which may lie between
    format       1 for a complete \boxed{} with any content
    random       1 with `probability`, for any completion
    wrong_label  the verdict against a wrong reference answer, for `share` of the pool's prompts. These prompts and
                 their labels are fixed for a run. A wrong label is another prompt's answer, or `label`
    noisy        the reward of the verdict, 1 minus it with `probability`
    judge        a score in [0, 1] from a simulated judge: 1 for a correct answer, `partial` for another answer in a
                 box, 0 without a box, plus normal noise with standard deviation `spread`, clipped to [0, 1]
    function     your own function, `FILE.py:NAME` or `MODULE:NAME`. Its arguments are the prompt's row (a dict with id,
                 text, answer, family) and the completion's text. It returns a number in [0, 1]

The judge's score is not verifiable. The same completion gets another score each time, and no check can tell which score
is right. Two scores are almost never equal, so every group of rollouts looks informative. No model is called: the noise
stands for that of a model.

The format reward and wrong labels are controls of 1-shot RLVR (arXiv 2504.20571, Tables 5, 14 and 17). Random rewards
are a control of Spurious Rewards (arXiv 2506.10947). The default numbers are ours.

Random numbers depend on the run's seed, the step, the group, the prompt and the sample. So a resumed run needs no
state.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from dopr.config.recipe import Reward
from dopr.errors import RewardError
from dopr.grading.answers import last_boxed
from dopr.plugins import load_callable
from dopr.records import Grade, Prompt, derive_seed

Rule = Callable[[Reward, Grade, str, random.Random], float]


class Rewards:
    """The reward function of one run. `labels` has the reference answer that each prompt is graded against, by id."""

    def __init__(self, settings: Reward, seed: int, pool: Sequence[Prompt]) -> None:
        self.settings, self.seed = settings, seed
        self.labels = {prompt.id: prompt.answer for prompt in pool}
        if settings.kind == "wrong_label":
            self.labels |= wrong_labels(pool, settings.share, settings.label, seed)
        self.rows = {prompt.id: prompt.row() for prompt in pool}
        self.function = load_callable(settings.function) if settings.function else None

    def reward(self, grade: Grade, text: str, step: int, group: int, prompt: str, sample: int) -> float:
        """Return the reward of a completion, within [0, 1].

        Args:
            grade: The grade against the prompt's entry in `labels`.
            text: The completion.
            step, group, prompt, sample: The rollout's position in the run. `prompt` is the prompt's id.

        Raises:
            RewardError: The reward function returned something else.
        """
        position = (step, group, prompt, sample)
        if self.function:
            value = self.function(self.rows[prompt], text)
        else:
            rng = random.Random(derive_seed(self.seed, "reward", *position))
            value = RULES[self.settings.kind](self.settings, grade, text, rng)
        return within_bounds(value, f"reward {self.settings.kind} gave {value!r} at {position}")


def within_bounds(value: object, description: str) -> float:
    """Check that a reward is a number from 0 to 1, of Python, NumPy or PyTorch, and return it as a float.

    Raises:
        RewardError: It is not. The message begins with `description`.
    """
    number = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
    if not isinstance(number, int | float) or not 0 <= number <= 1:  # also true for nan
        raise RewardError(f"{description}; it must lie within 0 and 1")
    return float(number)


def wrong_labels(pool: Sequence[Prompt], share: float, label: str | None, seed: int) -> dict[str, str]:
    """Return prompt id -> wrong label for a share of the pool. A larger share includes a smaller one of the same seed.

    The wrong label is `label`. If that is None or the prompt's own answer, it is another answer of the pool. Answers
    are compared as text.

    Raises:
        RewardError: There is no other answer for a prompt.
    """
    answers = sorted({prompt.answer for prompt in pool})
    index_of = {answer: index for index, answer in enumerate(answers)}
    labels = {}
    for prompt in random.Random(derive_seed(seed, "wrong label")).sample(pool, round(share * len(pool))):
        if label is not None and label != prompt.answer:
            labels[prompt.id] = label
        elif len(answers) > 1:
            index = random.Random(derive_seed(seed, "wrong label", prompt.id)).randrange(len(answers) - 1)
            labels[prompt.id] = answers[index + (index >= index_of[prompt.answer])]  # skips the prompt's own answer
        else:
            raise RewardError(f"reward wrong_label: {prompt.answer!r} is the pool's only answer; give another `label`")
    return labels


def from_verdict(_: Reward, grade: Grade, __: str, ___: random.Random) -> float:
    """Return 1 for a correct answer; the score where there is one."""
    return grade.score


def from_format(_: Reward, __: Grade, text: str, ___: random.Random) -> float:
    r"""Return 1 for a complete \boxed{}."""
    return float(last_boxed(text) is not None)


def from_chance(settings: Reward, _: Grade, __: str, rng: random.Random) -> float:
    """Return 1 with `probability`."""
    return float(rng.random() < settings.probability)


def from_noisy_verdict(settings: Reward, grade: Grade, _: str, rng: random.Random) -> float:
    """Return the reward of the verdict, flipped with `probability`."""
    return 1 - grade.score if rng.random() < settings.probability else grade.score


def from_judge(settings: Reward, grade: Grade, text: str, rng: random.Random) -> float:
    """Return a noisy score between 0 and 1."""
    mean = 1.0 if grade.verdict == "correct" else settings.partial if last_boxed(text) is not None else 0.0
    return min(1.0, max(0.0, mean + rng.gauss(0.0, settings.spread)))


RULES: dict[str, Rule] = {
    "verdict": from_verdict,
    "wrong_label": from_verdict,
    "format": from_format,
    "random": from_chance,
    "noisy": from_noisy_verdict,
    "judge": from_judge,
}
