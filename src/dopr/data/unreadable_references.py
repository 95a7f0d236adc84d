"""Reference answers that say nothing, found before any rollout is spent on them.

A prompt with such a reference earns a reward for the same text alone; any other answer is the grader's error, and a run
stops when these pass verify.max_error_share. A few of them, as published sets have, are told; more are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dopr.config.grading import Verify
from dopr.files import DataError
from dopr.grading.grader import INTEGER, Grader
from dopr.records import Prompt


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


def check_readable(
    splits: Mapping[str, Sequence[Prompt]], found: Mapping[str, Sequence[str]], places: Mapping[str, str], limit: float
) -> None:
    """Of no source in a split is a larger share of references unreadable than a run may have of the grader's errors;
    prompts without an answer, which a source has to allow, do not count.

    Args:
        found: ids of prompts with unreadable ones by split, as `unreadable` gives them.
        places: file and row of prompts by id, where they have one.
        limit: verify.max_error_share.

    Raises:
        DataError: of one it is; names the source, the first reference and where it stands.
    """
    for split, ids in found.items():
        prompts = {prompt.id: prompt for prompt in splits[split]}
        sizes = Counter(prompt.family for prompt in prompts.values())
        silent = [prompts[name] for name in ids if prompts[name].answer]
        for source, count in Counter(prompt.family for prompt in silent).items():
            if count > limit * sizes[source]:
                first = next(prompt for prompt in silent if prompt.family == source)
                where = places.get(first.id, first.id)
                raise DataError(
                    f"{where}: the grader cannot read reference {first.answer!r}, and {count} in all of the "
                    f"{sizes[source]} of {source} in {split}, more than verify.max_error_share, {limit}: mend them, "
                    "drop their rows, or raise it"
                )


def as_warnings(found: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each split."""
    return [
        f"{name}: the reference answers of {len(ids)} prompts cannot be read ({', '.join(ids[:5])}"
        f"{', ...' if len(ids) > 5 else ''}): only the same text is correct, anything else an error"
        for name, ids in found.items()
    ]
