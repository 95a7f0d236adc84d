"""Time and peak memory of an update: whole, in micro-batches, with gradient checkpointing, with adapters.

A random Llama learns from random completions of equal length, on one thread. Each way is a process of its own: the
peak is its largest resident set in two updates, less what it had with the policy in place. Beside it stands what `dopr
plan` counts for the same: activations, gradients and optimiser. Seconds are the processor's, of the second update.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.models.attention import PACKED
from dopr.models.network import Policy
from dopr.planning.cost import memory
from dopr.planning.shape import Shape
from dopr.planning.work import Lengths
from dopr.rollout.engine import Sample
from dopr.runtime.threads import use_threads
from dopr.training.group import Group
from dopr.training.learner import Learner
from program import run_program
from workload import alternating, group, grpo

GROUP = 8
PLANNED = ("activations", "gradients", "optimiser")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    for name, value, text in (
        ("layers", 6, "layers of the network"),
        ("hidden", 128, "its width; a head has 32 columns"),
        ("vocabulary", 4096, "its tokens"),
        ("rows", 16, "completions of an update, eight a prompt"),
        ("prompt", 64, "tokens of a prompt"),
        ("completion", 448, "tokens of a completion"),
        ("micro-batch-tokens", 2048, "of the ways that have them"),
        ("rank", 16, "of adapters"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} ({value})")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # of the processes: what is freed goes back at once
    print("| update | peak, MB | planned, MB | s |")
    print("|---|---:|---:|---:|")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, settings in ways(args).items():
            most, seconds = pool.submit(measure, args, settings).result()
            print(f"| {name} | {most / 1e6:,.0f} | {planned(args, settings) / 1e6:,.0f} | {seconds:.1f} |", flush=True)


def ways(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the keys of the recipe by the name of each way to save memory."""
    parts, again = {"micro_batch_tokens": args.micro_batch_tokens}, {"gradient_checkpointing": True}
    return {
        "whole": {},
        "micro-batches": parts,
        "gradient checkpointing": again,
        "both": {**parts, **again},
        "both, LoRA": {**parts, **again, "lora": {"rank": args.rank, "alpha": args.rank}},
    }


def measure(args: argparse.Namespace, settings: Mapping[str, Any]) -> tuple[int, float]:
    """Return the peak bytes of two updates beyond the policy, and the processor seconds of the second.

    A process can measure once only.
    """
    use_threads(1)
    torch.manual_seed(0)
    make_learner(args, settings).learn(rollouts(args, 8), 0)  # loads what libraries load late
    learner, groups = make_learner(args, settings), rollouts(args, args.completion)
    before = psutil.Process().memory_info().rss
    for step in range(2):
        start = time.process_time()
        learner.learn(groups, step)
    return peak() - before, time.process_time() - start


def peak() -> int:
    """Return the bytes of this process's largest resident set.

    getrusage would count that of the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def make_learner(args: argparse.Namespace, settings: Mapping[str, Any]) -> Learner:
    """Make a random policy with its optimiser."""
    network = AutoModelForCausalLM.from_config(LlamaConfig(**shape(args)), attn_implementation=PACKED).eval()
    return Learner(Policy(network), recipe(args, settings), sampling(args), seed=0)


def planned(args: argparse.Namespace, settings: Mapping[str, Any]) -> float:
    """Return the bytes that `dopr plan` expects of the same."""
    lengths = Lengths(args.prompt, args.completion)
    found = memory(recipe(args, settings), sampling(args), Shape.of(shape(args)), lengths, 1)
    return sum(found[name] for name in PLANNED)


def shape(args: argparse.Namespace) -> dict[str, Any]:
    """Return the config.json of the network."""
    return {
        "model_type": "llama",
        "vocab_size": args.vocabulary,
        "hidden_size": args.hidden,
        "intermediate_size": 4 * args.hidden,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.hidden // 32,
        "max_position_embeddings": args.prompt + args.completion,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
    }


def recipe(args: argparse.Namespace, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe of GRPO on so many completions, with the keys of a way."""
    return grpo(args.rows // GROUP, GROUP, 2, dtype=args.dtype, **settings)


def sampling(args: argparse.Namespace) -> SamplingParams:
    """Return the sampling parameters of completions of the given length."""
    return SamplingParams(temperature=1.0, max_new_tokens=args.completion)


def rollouts(args: argparse.Namespace, length: int) -> list[Group]:
    """Return groups of completions of random tokens, half of them rewarded."""
    rng = random.Random(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.choices(range(args.vocabulary), k=count))

    prompts = [tokens(args.prompt) for _ in range(args.rows // GROUP)]
    samples = [[Sample(tokens(length), (-9.0,) * length, "length") for _ in range(GROUP)] for _ in prompts]
    return [
        group(str(i), prompt, drawn, alternating(GROUP))
        for i, (prompt, drawn) in enumerate(zip(prompts, samples, strict=True))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
