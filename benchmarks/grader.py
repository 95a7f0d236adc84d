"""How many answers a second the grader judges, against math-verify in one process as its documentation has it.

The stream is what training sends: groups of completions, half of them right, some of those in another spelling, the
others with one of a few wrong answers. References are those of the six public benchmarks. Both judge the same stream in
turns; the ratio of the medians is printed last.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from math_verify import parse, verify

from dopr.commands.forms import FORMS, cases, references
from dopr.commands.replay import positive
from dopr.config.grading import OFFLINE, Verify
from dopr.data.public import MIRROR
from dopr.grading.grader import Grader
from program import run_program

Pairs = list[tuple[str, str]]
RIGHT = 0.5  # share of right answers
SPELLED = 0.2  # share of those that are spelled in another way than the reference
WRONG = 3  # different wrong answers to a question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--questions", type=positive, default=400)
    parser.add_argument("--group", type=positive, default=8, help="completions of a question at a time")
    parser.add_argument("--visits", type=positive, default=3, help="how often each question comes")
    parser.add_argument("--turns", type=positive, default=3)
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--data", type=Path, help=f"folder with the public files (default: {MIRROR}, or downloads)")


def run(args: argparse.Namespace) -> None:
    """Measure in turns, and print answers a second and their ratio."""
    stream = make_stream(list(references(args.data)), args.questions, args.group, args.visits)
    limits = Verify(**OFFLINE, workers=args.workers)
    print(f"{len(stream):,} completions, {len(set(stream)):,} different pairs, groups of {args.group}")
    ours, plain = [], []
    for _ in range(args.turns):
        plain.append(len(stream) / timed(lambda: [in_one_process(*pair) for pair in stream]))
        with Grader(limits) as grader:
            grader.grade([("0.5", r"\boxed{\frac{1}{3}}")])  # starting is not judging
            ours.append(len(stream) / timed(by_steps(grader, stream, 16 * args.group)))
    for name, rates in (("math-verify, one process", plain), (f"dopr, {args.workers} workers", ours)):
        print(f"{name}: {statistics.median(rates):,.0f} answers/s [{min(rates):,.0f}, {max(rates):,.0f}]")
    print(f"ratio: {statistics.median(ours) / statistics.median(plain):.1f}")


def make_stream(rows: Sequence[tuple[str, str]], questions: int, group: int, visits: int) -> Pairs:
    """(reference, completion) in the order of training; the same for the same arguments."""
    rng = random.Random(0)
    chosen = rng.sample(list(rows), min(questions, len(rows)))
    spelled: dict[str, list[str]] = {}
    for _, form, reference, text in cases(iter(chosen)):
        if form in FORMS:
            spelled.setdefault(reference, []).append(text)
    wrong = {reference: [rng.choice(rows)[1] for _ in range(WRONG)] for _, reference in chosen}
    stream = []
    for _ in range(visits):
        for _, reference in rng.sample(chosen, len(chosen)):
            for _ in range(group):
                right = rng.choice(spelled[reference]) if rng.random() < SPELLED else reference
                answer = right if rng.random() < RIGHT else rng.choice(wrong[reference])
                stream.append((reference, rf"Then the answer is \boxed{{{answer}}}."))
    return stream


def by_steps(grader: Grader, stream: Pairs, size: int) -> Callable[[], None]:
    """Judge the stream a step of training at a time."""

    def judge() -> None:
        for start in range(0, len(stream), size):
            grader.grade(stream[start : start + size])

    return judge


def in_one_process(reference: str, completion: str) -> bool:
    """math-verify's own two calls, with its own limits of time."""
    return bool(verify(parse(f"${reference}$"), parse(completion)))


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
