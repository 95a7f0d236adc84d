r"""Grading in processes that can be killed, by the same rules for rewards and evaluation.

On the main thread math-verify turns a hang into "wrong", and in a thread it cannot be stopped; so it runs in workers,
which are ended when a comparison outruns its limits (dopr.grading.pool). Verdicts:

    correct, wrong    the answer was compared with the reference
    unparsed          there is no answer where one is looked for, or it is empty, a program, or longer than any answer
    timeout           the comparison outran its limit of time, memory or depth, or would: a tower of powers
    error             the grader failed, or the reference says nothing; a run with many of these stops

Profiles: math_verify (dopr.grading.mathematics), qwen_eval (dopr.grading.qwen_eval), deepscaler
(dopr.grading.deepscaler).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from dopr.config.grading import Verify
from dopr.grading.answers import final_answer, joined_boxes
from dopr.grading.guards import is_no_answer
from dopr.grading.pool import GraderError, Pool
from dopr.grading.rules import EXTRACTION, JOINED_BOXES, STRICT_INTEGERS, WITHOUT_BOXES, grader_version
from dopr.records import Verdict

INTEGER = re.compile(r"-?[0-9]+")
SEVERAL = re.compile(r",|;|\\pm|\band\b|\bor\b")


class Grader:
    """Grades completions; equal answers to the same reference are compared once. Use as a context manager."""

    def __init__(self, limits: Verify) -> None:
        self.limits = limits
        self.extraction = limits.extraction or EXTRACTION[limits.profile]
        self.version = grader_version(limits.profile, limits.extraction)
        self.counts: Counter[Verdict] = Counter()
        self._known: dict[tuple[str, str], Verdict] = {}
        self._pool = Pool(limits)

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def grade(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (reference, completion text) pairs, in order.

        Raises:
            GraderError: the grader cannot be started, or too large a share of its verdicts are errors.
        """
        verdicts = self._verdicts([(reference, self._answer(reference, text)) for reference, text in pairs])
        self.counts.update(verdicts)
        self._check_error_share()
        return verdicts

    def unreadable(self, references: Iterable[str]) -> list[str]:
        """The references that say nothing: against them every answer but the same text is an `error`."""
        distinct = list(dict.fromkeys(references))
        other = r"\text{no answer}"  # equal to no reference, so that the comparison has to read it
        verdicts = self._verdicts([(reference, other) for reference in distinct])
        return [reference for reference, verdict in zip(distinct, verdicts, strict=True) if verdict == "error"]

    def _answer(self, reference: str, text: str) -> str | None:
        """The answer in a completion, which may be of several boxes in a row."""
        answer = final_answer(text, self.extraction)
        if answer is None or self.limits.profile not in JOINED_BOXES or self.extraction in WITHOUT_BOXES:
            return answer
        listed = SEVERAL.search(reference) and not SEVERAL.search(answer)
        return (joined_boxes(text) or answer) if listed else answer

    def _verdicts(self, answers: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        new: dict[tuple[str, str], None] = {}
        for reference, answer in answers:
            if answer is not None and (reference, answer) not in self._known:
                verdict = self._at_once(reference, answer)
                if verdict:
                    self._known[reference, answer] = verdict
                else:
                    new[reference, answer] = None
        self._known.update(zip(new, self._pool.compare(list(new)), strict=True))
        return ["unparsed" if answer is None else self._known[reference, answer] for reference, answer in answers]

    def _at_once(self, reference: str, answer: str) -> Verdict | None:
        """The verdict of what needs no comparison, because every profile is certain to say the same; else None."""
        if answer == reference and answer.strip():
            return "correct"
        if is_no_answer(answer):
            return "unparsed"
        if INTEGER.fullmatch(reference) and INTEGER.fullmatch(answer):
            if significant(reference) == significant(answer):
                return "correct"
            return "wrong" if self.limits.profile in STRICT_INTEGERS else None
        return None

    def _check_error_share(self) -> None:
        share = self.counts["error"] / max(1, self.counts.total())
        if share > self.limits.max_error_share:
            raise GraderError(
                f"{share:.0%} of {self.counts.total()} verdicts are errors of the grader (limit "
                f"verify.max_error_share = {self.limits.max_error_share}); its messages are in this job's log"
            )


def significant(integer: str) -> str:
    """An integer without leading zeros; -0 is 0."""
    digits = integer.lstrip("-").lstrip("0")
    return "-" * (integer.startswith("-") and bool(digits)) + digits
