r"""What a rollout is rewarded for: its verdict, or, in a control, something else.

    verdict      1 if the answer is correct, else 0: reinforcement learning with verifiable rewards
    format       1 for a complete \boxed{}, whatever is in it
    random       1 with `probability`, whatever the completion is
    wrong_label  the verdict against a wrong label, for `share` of the pool's prompts; which ones, and their labels, are
                 fixed for a run. A wrong label is another prompt's answer, or `label`
    noisy        the verdict, turned round with `probability`
    judge        a score in [0, 1] from a simulated judge: 1 for a correct answer, `partial` for a box with any other,
                 0 for none, plus normal noise with standard deviation `spread`, cut off at 0 and 1

    function     what a function of the user's own gives, `FILE.py:NAME` or `MODULE:NAME`, called with the prompt's row
                 (a dict with id, text, answer, family) and the completion's text; a number in [0, 1]

The first is verifiable. judge is not: the same completion scores differently each time, no check can say which score
is right, and since hardly two scores are equal, every group of rollouts looks as if it carried signal. No model is
called: it stands for the noise of one.

Format reward and wrong labels are controls of 1-shot RLVR (arXiv 2504.20571, Tables 5, 14 and 17), random rewards of
Spurious Rewards (arXiv 2506.10947); the numbers here are ours.

Random numbers come from the run's seed, the step, and the rollout's place in it, so that a resumed run needs no state.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from dopr.config.recipe import Reward
from dopr.errors import RewardError
from dopr.grading.answers import last_boxed
from dopr.plugins import load_function
from dopr.records import Prompt, Verdict, derive_seed

Rule = Callable[[Reward, Verdict, str, random.Random], float]


class Rewards:
    """The rewards of one run. `labels` are the reference answers that its completions are graded against, by prompt."""

    def __init__(self, settings: Reward, seed: int, pool: Sequence[Prompt]) -> None:
        self.settings, self.seed = settings, seed
        self.labels = {prompt.id: prompt.answer for prompt in pool}
        if settings.kind == "wrong_label":
            self.labels |= wrong_labels(pool, settings.share, settings.label, seed)
        self.rows = {prompt.id: prompt.row() for prompt in pool}
        self.function = load_function(settings.function) if settings.function else None

    def reward(self, verdict: Verdict, text: str, step: int, group: int, prompt: str, sample: int) -> float:
        """The reward of a completion, within [0, 1].

        Args:
            verdict: against the prompt's entry in `labels`.
            text: the completion.
            step, group, prompt, sample: what tells this rollout from all others of the run; prompt is its id.

        Raises:
            RewardError: the rule gave another number.
        """
        place = (step, group, prompt, sample)
        if self.function:
            value = self.function(self.rows[prompt], text)
        else:
            rng = random.Random(derive_seed(self.seed, "reward", *place))
            value = RULES[self.settings.kind](self.settings, verdict, text, rng)
        return within_bounds(value, f"reward {self.settings.kind} gave {value!r} at {place}")


def within_bounds(value: object, found: str) -> float:
    """A reward that lies within 0 and 1.

    Raises:
        RewardError: it does not; `found` says whose it is and what.
    """
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # nan is not
        raise RewardError(f"{found}; it must lie within 0 and 1")
    return float(value)


def wrong_labels(pool: Sequence[Prompt], share: float, label: str | None, seed: int) -> dict[str, str]:
    """Prompt id -> wrong label, for a share of the pool; with the same seed, a larger share holds a smaller one.

    The wrong label is `label`; for a prompt whose answer that is, and if it is None, it is one of the pool's other
    answers. Answers are compared as text.

    Raises:
        RewardError: a prompt has no other answer to get.
    """
    answers = sorted({prompt.answer for prompt in pool})
    place = {answer: i for i, answer in enumerate(answers)}
    found = {}
    for prompt in random.Random(derive_seed(seed, "wrong label")).sample(pool, round(share * len(pool))):
        if label is not None and label != prompt.answer:
            found[prompt.id] = label
        elif len(answers) > 1:
            other = random.Random(derive_seed(seed, "wrong label", prompt.id)).randrange(len(answers) - 1)
            found[prompt.id] = answers[other + (other >= place[prompt.answer])]  # all but its own
        else:
            raise RewardError(f"reward wrong_label: {prompt.answer!r} is the pool's only answer; give another `label`")
    return found


def from_verdict(_: Reward, verdict: Verdict, __: str, ___: random.Random) -> float:
    """1 if correct."""
    return float(verdict == "correct")


def from_format(_: Reward, __: Verdict, text: str, ___: random.Random) -> float:
    r"""1 for a complete \boxed{}."""
    return float(last_boxed(text) is not None)


def from_chance(settings: Reward, _: Verdict, __: str, rng: random.Random) -> float:
    """1 with a probability."""
    return float(rng.random() < settings.probability)


def from_noisy_verdict(settings: Reward, verdict: Verdict, _: str, rng: random.Random) -> float:
    """The verdict's, turned round with a probability."""
    return float((verdict == "correct") != (rng.random() < settings.probability))


def from_judge(settings: Reward, verdict: Verdict, text: str, rng: random.Random) -> float:
    """A noisy score between 0 and 1."""
    merit = 1.0 if verdict == "correct" else settings.partial if last_boxed(text) is not None else 0.0
    return min(1.0, max(0.0, merit + rng.gauss(0.0, settings.spread)))


RULES: dict[str, Rule] = {
    "verdict": from_verdict,
    "wrong_label": from_verdict,
    "format": from_format,
    "random": from_chance,
    "noisy": from_noisy_verdict,
    "judge": from_judge,
}
