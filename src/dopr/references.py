"""Reference answers that say nothing, found before any rollout is spent on them.

A prompt with such a reference earns a reward for the same text alone; any other answer is the grader's error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dopr.records import Prompt
from dopr.verify.grader import INTEGER, Grader
from dopr.verify.section import Verify


def unreadable(splits: Mapping[str, Sequence[Prompt]], limits: Verify) -> dict[str, list[str]]:
    """Ids of the prompts of each split whose reference the grader cannot read; splits without one are left out."""
    doubtful = {
        prompt.answer for prompts in splits.values() for prompt in prompts if not INTEGER.fullmatch(prompt.answer)
    }
    if not doubtful:  # starting the grader takes longer than making a pool
        return {}
    with Grader(limits) as grader:
        silent = set(grader.unreadable(sorted(doubtful)))
    found = {name: [prompt.id for prompt in prompts if prompt.answer in silent] for name, prompts in splits.items()}
    return {name: ids for name, ids in found.items() if ids}


def told(found: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each split."""
    return [
        f"{name}: the reference answers of {len(ids)} prompts cannot be read ({', '.join(ids[:5])}"
        f"{', ...' if len(ids) > 5 else ''}): only the same text is correct, anything else an error"
        for name, ids in found.items()
    ]
