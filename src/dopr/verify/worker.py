r"""The process that runs math-verify. It reads `[reference, answer]` as JSON lines and answers each with a verdict.

It may hang or outgrow its memory on a hostile answer; whoever started it kills it then (dopr.verify.grader). Should
that parent have been killed itself, the worker ends when its input closes, or when an alarm does it.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys

from math_verify import parse, verify


def grade(reference: str, answer: str) -> str:
    r"""correct, wrong or unparsed, by math-verify; the reference is taken as LaTeX, the answer as \boxed{answer}.

    Raises:
        ValueError: the reference itself cannot be parsed.
    """
    gold = parse(f"${reference}$", parsing_timeout=None)
    if not gold:
        raise ValueError(f"reference answer {reference!r} cannot be parsed")
    found = parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    if not found:
        return "unparsed"
    return "correct" if verify(gold, found, timeout_seconds=None, raise_on_error=True) else "wrong"


def main() -> None:
    """Serve until the input closes. Arguments: memory limit in MB, and the seconds after which an answer is fatal."""
    limit, seconds = int(sys.argv[1]) * 2**20, float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not a handler: that would wait for the arithmetic to end
    logging.disable(logging.WARNING)  # math-verify warns on every call that its own timeouts are off
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            verdict = grade(*json.loads(line))
        except MemoryError:
            verdict = "timeout"
        except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError, NotImplementedError) as error:
            print(f"grader: {type(error).__name__}: {error}"[:300], file=sys.stderr, flush=True)
            verdict = "error"
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(verdict, flush=True)


if __name__ == "__main__":
    main()
