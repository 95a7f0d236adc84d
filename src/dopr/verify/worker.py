r"""The process that runs math-verify. It reads `[reference, answer]` as JSON lines and answers each with a verdict.

It may hang or outgrow its memory on a hostile answer; whoever started it kills it then (dopr.verify.grader). It ends
by itself when its input closes, so it never outlives a killed parent.
"""

from __future__ import annotations

import json
import logging
import resource
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
    """Serve until the input closes. Memory limit in MB: the first argument."""
    limit = int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.disable(logging.WARNING)  # math-verify warns on every call that its own timeouts are off
    for line in sys.stdin:
        try:
            verdict = grade(*json.loads(line))
        except MemoryError:
            verdict = "timeout"
        except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError, NotImplementedError) as error:
            print(f"grader: {type(error).__name__}: {error}"[:300], file=sys.stderr, flush=True)
            verdict = "error"
        print(verdict, flush=True)


if __name__ == "__main__":
    main()
