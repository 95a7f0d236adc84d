"""How many answers a second the grader judges, against math-verify in one process as its documentation has it.

The stream is what training sends: groups of completions, half of them right, some of those in another spelling, the
others with one of a few wrong answers. References are those of the six public benchmarks. Both judge the same stream in
turns. The ratio of the medians is printed last, by the clock and by processor time: on busy cores only the latter is a
property of the grader.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from math_verify import parse, verify

from dopr.commands.forms import FORMS, cases, references
from dopr.commands.replay import positive
from dopr.config.grading import OFFLINE, Verify
from dopr.data.public import MIRROR
from dopr.grading.grader import Grader
from program import run_program

Pairs = list[tuple[str, str]]
KINDS = ("the clock", "processor time")
RIGHT = 0.5  # share of right answers
SPELLED = 0.2  # share of those that are spelled in another way than the reference
WRONG = 3  # different wrong answers to a question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
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
    plain, ours = [], []
    for _ in range(args.turns):
        plain.append(timed(lambda: [in_one_process(*pair) for pair in stream]))
        with Grader(limits) as grader:
            grader.grade([("0.5", r"\boxed{\frac{1}{3}}")])  # starting is not judging
            ours.append(timed(by_steps(grader, stream, 16 * args.group), partial(processor_time, grader)))
    for name, turns in (("math-verify, one process", plain), (f"dopr, {args.workers} workers", ours)):
        for kind, seconds in zip(KINDS, zip(*turns, strict=True), strict=True):
            rates = [len(stream) / each for each in seconds]
            print(f"{name}, {kind}: {statistics.median(rates):,.0f} answers/s [{min(rates):,.0f}, {max(rates):,.0f}]")
    medians = [[statistics.median(seconds) for seconds in zip(*turns, strict=True)] for turns in (plain, ours)]
    ratios = [f"{theirs / mine:.1f} by {kind}" for theirs, mine, kind in zip(*medians, KINDS, strict=True)]
    print(f"ratio: {', '.join(ratios)}")


def make_stream(rows: Sequence[tuple[str, str]], questions: int, group: int, visits: int) -> Pairs:
    """Return (reference, completion) pairs in the order of training, the same for the same arguments."""
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
    """Return a function that grades the stream, one training step at a time."""

    def judge() -> None:
        for start in range(0, len(stream), size):
            grader.grade(stream[start : start + size])

    return judge


def in_one_process(reference: str, completion: str) -> bool:
    """Compare by math-verify's own two calls, with its own time limits."""
    return bool(verify(parse(f"${reference}$"), parse(completion)))


def timed(work: Callable[[], object], processor: Callable[[], float] = time.process_time) -> tuple[float, float]:
    """Return the seconds of some work: by the clock, and of processors."""
    clock, before = time.perf_counter(), processor()
    work()
    return time.perf_counter() - clock, processor() - before


def processor_time(grader: Grader) -> float:
    """Return the processor seconds of this process and of the grader's processes, which are one process group."""
    ticks, server = 0, grader._pool._server
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # a process that has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) if server and int(fields[2]) == server.pid else 0
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
