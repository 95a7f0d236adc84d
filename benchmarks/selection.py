"""What selection costs: microseconds a step and bytes of state, for every selector and pools up to a million prompts.

A step is one choice of one prompt, and learning from its made-up rewards; the median over steps is shown, for the
machine this runs on. State is counted as JSON, after all steps. Fixed sets are left out: their choice costs nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence

import numpy as np

from dopr.commands.replay import parse, positive
from dopr.profiling.simulate import simulate
from dopr.selection.selector import Features, RolloutRequest, Setup, make_selector
from program import run_program

SELECTORS = (
    "uniform",
    "random_one",
    "dapo",
    "greso",
    "speed",
    "mopps",
    "ucb",
    "max_variance",
    "dopr",
    "dopr:volatility=ema",
    "dopr:volatility=history",
    "dopr:volatility=beta",
    "dopr:explore=thompson",
    "dopr:temperature=0.1",
    "dopr:similarity=text",
    "mopps:candidates=all",
    "ucb:candidates=all",
    "max_variance:candidates=all",
    "dopr:candidates=all",
    "dopr:candidates=all,temperature=0.1",
    "dopr:candidates=all,similarity=text",
)
DIMENSIONS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--selector", nargs="+", default=SELECTORS, metavar="NAME[:OPTION=VALUE,...]")
    parser.add_argument("--pools", nargs="+", type=positive, default=[10**3, 10**4, 10**5, 10**6], help="prompts")
    parser.add_argument("--steps", type=positive, default=100, help="steps measured, and visits in the state")


def run(args: argparse.Namespace) -> None:
    """Measure, and print a table."""
    print("| selector | " + " | ".join(f"{size:,} prompts, µs" for size in args.pools) + " | state, bytes |")
    print("|---|" + "---:|" * (len(args.pools) + 1))
    for text in args.selector:
        measured = [measure(text, size, args.steps) for size in args.pools]
        times = " | ".join(f"{1e6 * seconds:.0f}" for seconds, _ in measured)
        print(f"| {text} | {times} | {measured[-1][1]} |", flush=True)


def measure(text: str, size: int, steps: int) -> tuple[float, int]:
    """Return the median seconds of a step, and the bytes of state after `steps` steps, for a pool of `size` prompts."""
    name, options = parse(text)
    setup = Setup(tuple(map(str, range(size))), 0, 1, 8, features=lambda kind: directions(size))
    selector = make_selector(name, setup, options)
    played = simulate(selector, range(steps), rewards)
    seconds = float(np.median(list(laps(played))))
    return seconds, len(json.dumps(selector.state_dict()))


def laps(steps: Iterator[object]) -> Iterator[float]:
    """Yield the seconds that each item took."""
    begin = time.perf_counter()
    for _ in steps:
        yield time.perf_counter() - begin
        begin = time.perf_counter()


def rewards(step: int, request: RolloutRequest) -> tuple[float, ...]:
    """Return made-up rewards; in turn none to all are right."""
    right = step % (request.rollouts + 1)
    return (1.0,) * right + (0.0,) * (request.rollouts - right)


def directions(size: int) -> Features:
    """Return random unit vectors, [size, DIMENSIONS]."""
    vectors = np.random.default_rng(0).standard_normal((size, DIMENSIONS), dtype=np.float32)
    unit: Features = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
