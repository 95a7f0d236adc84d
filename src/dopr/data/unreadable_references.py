"""Reference answers that the grader cannot read, found before any rollout is spent on them.

Only the same text is correct for such a reference. Any other answer is an error of the grader, and a run stops when
more than verify.max_error_share of its verdicts are errors. A few such references, as published data sets have, give a
warning. More give an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dopr.config.grading import Verify
from dopr.files import DataError
from dopr.grading.grader import INTEGER, Grader
from dopr.records import Prompt


def unreadable(splits: Mapping[str, Sequence[Prompt]], limits: Verify) -> dict[str, list[str]]:
    """Return ids of prompts whose reference the grader cannot read, by split; splits without any are left out."""
    other_than_integers = {
        prompt.answer for prompts in splits.values() for prompt in prompts if not INTEGER.fullmatch(prompt.answer)
    }
    if not other_than_integers:  # starting the grader takes longer than making a pool
        return {}
    with Grader(limits) as grader:
        answers = set(grader.unreadable(sorted(other_than_integers)))
    ids_by_split = {name: [prompt.id for prompt in split if prompt.answer in answers] for name, split in splits.items()}
    return {name: ids for name, ids in ids_by_split.items() if ids}


def check_readable(
    splits: Mapping[str, Sequence[Prompt]],
    ids_by_split: Mapping[str, Sequence[str]],
    locations: Mapping[str, str],
    limit: float,
) -> None:
    """Check that no source in a split has too large a share of unreadable references.

    Prompts without an answer do not count. Their source has to allow them.

    Args:
        splits: Split -> its prompts.
        ids_by_split: Ids of prompts with unreadable references, from `unreadable`.
        locations: Prompt id -> file and row, for prompts that have one.
        limit: verify.max_error_share.

    Raises:
        DataError: A source is above the limit. The message names it, the first reference and its location.
    """
    for split, ids in ids_by_split.items():
        prompts = {prompt.id: prompt for prompt in splits[split]}
        sizes = Counter(prompt.family for prompt in prompts.values())
        answered = [prompts[name] for name in ids if prompts[name].answer]
        for source, count in Counter(prompt.family for prompt in answered).items():
            if count > limit * sizes[source]:
                first = next(prompt for prompt in answered if prompt.family == source)
                where = locations.get(first.id, first.id)
                raise DataError(
                    f"{where}: the grader cannot read reference {first.answer[:80]!r}, and {count} in all of the "
                    f"{sizes[source]} of {source} in {split}, more than verify.max_error_share, {limit}: mend them, "
                    "drop their rows, or raise it"
                )


def as_warnings(ids_by_split: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each split with unreadable references."""
    return [
        f"{name}: the reference answers of {len(ids)} prompts cannot be read ({', '.join(ids[:5])}"
        f"{', ...' if len(ids) > 5 else ''}): only the same text is correct, anything else an error"
        for name, ids in ids_by_split.items()
    ]
