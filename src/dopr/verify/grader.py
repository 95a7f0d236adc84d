r"""Grading by math-verify in a process that can be killed.

On the main thread math-verify turns a hang into "wrong", and in a thread it cannot be stopped; so it runs in a worker
process, which is killed and replaced when one answer takes longer than its limit. Verdicts:

    correct, wrong    math-verify compared the last \boxed{} with the reference
    unparsed          there is no \boxed{}, or its content is no mathematics
    timeout           the comparison outran its time or memory limit
    error             the grader itself failed; a run with many of these stops (see check_error_share)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dopr.config import Verify
from dopr.errors import UserError
from dopr.records import Verdict
from dopr.verify.answers import last_boxed
from dopr.verify.worker_process import WorkerDiedError, WorkerProcess

BATCH = 256  # pairs in flight: their verdicts always fit the pipe
MAX_ANSWER = 2000  # characters; longer ones are not mathematics a person wrote


class GraderError(UserError):
    """Grading is broken: not the policy's fault, so the run must stop."""


class Grader:
    """Grades completions; equal answers to the same reference are compared once. Use as a context manager."""

    def __init__(self, limits: Verify) -> None:
        self.limits = limits
        self.counts: Counter[Verdict] = Counter()
        self._known: dict[tuple[str, str], Verdict] = {}
        self._worker = self._start()

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.kill()

    def grade(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (reference, completion text) pairs, in order.

        Raises:
            GraderError: the grader cannot be started, or too large a share of its verdicts are errors.
        """
        answers = [(reference, last_boxed(text)) for reference, text in pairs]
        new = dict.fromkeys((r, a) for r, a in answers if a is not None and (r, a) not in self._known)
        self._known.update(zip(new, self._compare(list(new)), strict=True))
        verdicts: list[Verdict] = ["unparsed" if a is None else self._known[r, a] for r, a in answers]
        self.counts.update(verdicts)
        self._check_error_share()
        return verdicts

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self.limits.memory_mb, 2 * self.limits.seconds + 1)

    def _check_error_share(self) -> None:
        share = self.counts["error"] / max(1, self.counts.total())
        if share > self.limits.max_error_share:
            raise GraderError(
                f"{share:.0%} of {self.counts.total()} verdicts are errors of the grader (limit "
                f"verify.max_error_share = {self.limits.max_error_share}); its messages are in this job's log"
            )

    def _compare(self, pairs: list[tuple[str, str]]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        while len(verdicts) < len(pairs):
            batch = pairs[len(verdicts) : len(verdicts) + BATCH]
            too_long = next((i for i, (_, answer) in enumerate(batch) if len(answer) > MAX_ANSWER), len(batch))
            verdicts += self._ask(batch[:too_long]) if too_long else ["unparsed"]
        return verdicts

    def _ask(self, pairs: list[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of the first pairs: as many as fit the pipe, or up to an answer the worker did not survive."""
        if not self._worker.is_ready():
            raise GraderError("the grading worker does not answer; is math-verify installed in this environment?")
        verdicts: list[Verdict] = []
        try:
            for _ in range(self._worker.send(pairs)):
                verdicts.append(self._worker.receive(self.limits.seconds))
        except (TimeoutError, WorkerDiedError) as failure:
            verdicts.append("timeout" if isinstance(failure, TimeoutError) else "error")
            self._worker.kill()
            self._worker = self._start()
        return verdicts
