"""Time sampling by the torch engine against transformers' generate, on random models and one thread.

    python benchmarks/sampling.py

Each draws 128 completions of 64 tokens, eight of each of 16 prompts of 25 tokens, at temperature 1; no token ends one.
Turns alternate, and seconds are the processor's: medians of --turns.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median

import torch
from transformers.utils import logging

from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.threads import use_threads
from models import SIZES, random_network

PROMPTS, SAMPLES, LENGTH, NEW = 16, 8, 25, 64


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="of each side (5)")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    args = parser.parse_args()
    use_threads(1)
    logging.set_verbosity_error()
    print("| parameters | dopr, s | generate, s | dopr / generate |")
    print("| --- | ---: | ---: | ---: |")
    for size in args.sizes:
        ours, theirs = timed(size, args.turns)
        print(f"| {size} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)


def timed(size: str, turns: int) -> tuple[float, float]:
    """Return the median seconds of the engine, and of generate."""
    network, rng = random_network(size), random.Random(0)
    prompts = [rng.choices(range(3, network.config.vocab_size), k=LENGTH) for _ in range(PROMPTS)]
    engine = TorchEngine(network, [])
    plain = random_network(size, "sdpa")
    repeated = torch.tensor([prompt for prompt in prompts for _ in range(SAMPLES)])

    def theirs() -> object:
        return plain.generate(
            repeated,
            attention_mask=torch.ones_like(repeated),
            do_sample=True,
            top_k=0,
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            pad_token_id=0,
        )

    sides: list[Callable[[], object]] = [lambda: engine.generate(prompts, SAMPLES, 1.0, NEW, seed=0), theirs]
    found: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        for side, seconds in zip(sides, found, strict=True):
            start = time.process_time()
            side()
            if turn:  # the first warms up
                seconds.append(time.process_time() - start)
    return median(found[0]), median(found[1])


if __name__ == "__main__":
    main()
