r"""The grader of completions. Rewards and evaluation use the same rules.

On the main thread math-verify turns a hang into "wrong", and in another thread it cannot be stopped. So it runs in
worker processes, which are killed when a comparison exceeds its limits (dopr.grading.pool). Verdicts:

    correct, wrong    the answer was compared with the reference
    unparsed          the completion has no answer, or the answer is empty, a program, or too long
    timeout           the comparison exceeds a limit of time, memory or recursion depth, or is estimated to do so
    error             the grader failed, or cannot read the reference; a run with many errors stops

A question of reasoning-gym (dopr.grading.entries) is scored by its own scorer, in workers of the same kind. Its verdict
is `correct` for a score of 1, else `wrong`; its reward is the score.

Profiles: dopr (dopr.grading.mathematics), math_verify (dopr.grading.plain), qwen_eval (dopr.grading.qwen_eval) and
deepscaler (dopr.grading.deepscaler).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from dopr.config.grading import Verify
from dopr.grading.answers import final_answer, joined_boxes, tagged
from dopr.grading.entries import INSTALL, PACKAGE, installed_version, is_entry
from dopr.grading.guards import is_no_answer
from dopr.grading.pool import GraderError, Pool
from dopr.grading.rules import EXTRACTION, SCORERS, STRICT_INTEGERS, WITH_BOXES, grader_version
from dopr.records import Grade, Verdict

INTEGER = re.compile(r"-?[0-9]+")
FEW = 100  # verdicts; the first errors of fewer say little of their share
SEVERAL = re.compile(r",|;|\\pm|\\\\|\band\b|\bor\b")


class Grader:
    """A grader of completions. It compares equal answers to the same reference once. Use as a context manager."""

    def __init__(self, limits: Verify) -> None:
        self.limits = limits
        self.extraction = limits.extraction or EXTRACTION[limits.profile]
        self.version = grader_version(limits.profile, limits.extraction)
        self.counts: Counter[Verdict] = Counter()
        self._known: dict[tuple[str, str], Grade] = {}
        self._pool, self._scorers = Pool(limits), Pool(limits, SCORERS)

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
        self._scorers.close()

    def grade(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Return the verdict of each (reference, completion text) pair; `grades` has the errors."""
        return [grade.verdict for grade in self.grades(pairs)]

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Grade]:
        """Return the verdict and the score of each (reference, completion text) pair.

        Raises:
            GraderError: The grader cannot be started, or too large a share of its verdicts are errors.
        """
        if self.limits.profile == "math_verify":  # whole completions are hardly met again, and fill the memory
            self._known.clear()
        grades = self._grades([(reference, self._answer(reference, text)) for reference, text in pairs])
        self.counts.update(grade.verdict for grade in grades)
        self._check_error_share()
        return grades

    def unreadable(self, references: Iterable[str]) -> list[str]:
        """Return the references that cannot be read. Any answer to them but the same text is an `error`."""
        distinct = list(dict.fromkeys(references))
        other = r"\text{no answer}"  # equal to no reference, so that the comparison has to read the reference
        grades = self._grades([(reference, other) for reference in distinct])
        return [reference for reference, grade in zip(distinct, grades, strict=True) if grade.verdict == "error"]

    def _answer(self, reference: str, text: str) -> str | None:
        """Return the answer of a completion. For a reference with several values it may span several boxes."""
        if is_entry(reference):
            return tagged(text) or (final_answer(text, self.limits.extraction) if self.limits.extraction else None)
        answer = final_answer(text, self.extraction)
        if answer is None or self.extraction == "exact":
            return answer
        if self.limits.profile == "math_verify":
            return rf"\boxed{{{answer}}}"
        if self.limits.profile == "dopr" and self.extraction in WITH_BOXES and SEVERAL.search(reference):
            return joined_boxes(text) or answer
        return answer

    def _grades(self, answers: Sequence[tuple[str, str | None]]) -> list[Grade]:
        new: dict[tuple[str, str], None] = {}
        for reference, answer in answers:
            if answer is not None and (reference, answer) not in self._known:
                verdict = self._without_comparison(reference, answer)
                if verdict:
                    self._known[reference, answer] = Grade(verdict, float(verdict == "correct"))
                else:
                    new[reference, answer] = None
        entries = [pair for pair in new if is_entry(pair[0])]
        if entries and installed_version() is None:
            raise GraderError(f"questions of {PACKAGE} need the package for their scorers: {INSTALL}")
        for pool, pairs in ((self._scorers, entries), (self._pool, [pair for pair in new if not is_entry(pair[0])])):
            self._known.update(zip(pairs, pool.compare(pairs), strict=True))
        none = Grade("unparsed", 0.0)
        return [none if answer is None else self._known[reference, answer] for reference, answer in answers]

    def _without_comparison(self, reference: str, answer: str) -> Verdict | None:
        """Return the verdict if the profile is certain to give it; else None."""
        if self.limits.profile == "math_verify" or is_entry(reference):
            return None
        if answer == reference and answer.strip():
            return "correct"
        if is_no_answer(answer):
            return "unparsed"
        if INTEGER.fullmatch(reference) and INTEGER.fullmatch(answer):
            if canonical_integer(reference) == canonical_integer(answer):
                return "correct"
            return "wrong" if self.limits.profile in STRICT_INTEGERS else None
        return None

    def _check_error_share(self) -> None:
        errors, total = self.counts["error"], self.counts.total()
        if errors > self.limits.max_error_share * max(total, FEW):
            raise GraderError(
                f"{errors / total:.0%} of {total} verdicts are errors of the grader (limit "
                f"verify.max_error_share = {self.limits.max_error_share}); its messages are in this job's log"
            )


def canonical_integer(integer: str) -> str:
    """Return an integer without leading zeros; -0 becomes 0, and 0 becomes empty text."""
    digits = integer.lstrip("-").lstrip("0")
    return "-" * (integer.startswith("-") and bool(digits)) + digits
