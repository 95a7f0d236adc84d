"""Time the torch engine's decoding, and whole GRPO and DoPR steps, against what the machine could do at best.

The model is of a given shape with random weights, and no token ends a completion. Decoding is what a longer completion
takes beyond one of a single token, recording of CUDA graphs included. A step is rollouts and one update. Bounds are
those of dopr.roofline: a share of 1 is a machine whose memory, or whose products, never waits. On a CPU one thread is
used, and seconds are the processor's.

Needs PyTorch, tokenizers, safetensors, numpy and pydantic, and nothing else of what the pipeline needs.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import torch
from torch import nn

from dopr.commands.workload import alternating, group, grpo
from dopr.config import Sampling
from dopr.errors import UserError, suggestion
from dopr.files import read_json
from dopr.hardware import Hardware
from dopr.hardware import device as device_of
from dopr.planning.shape import KNOWN
from dopr.policy.learner import Learner
from dopr.policy.transformer import Transformer
from dopr.records import Rollout
from dopr.rollout.decoder import Decoder
from dopr.rollout.engine import Sample
from dopr.rollout.torch_engine import TorchEngine
from dopr.roofline import Load, Machine, decoding, seconds, training
from dopr.threads import use_threads

SAMPLES = 8  # of a prompt
Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Defaults:
    """What is timed where nothing else is said; grpo: prompts of a GRPO step."""

    model: str
    dtype: Dtype
    prompt: int
    new: int
    grpo: int
    micro_batch_tokens: int | None


DEFAULTS = {
    "cpu": Defaults("embedded", "float32", 24, 64, 16, None),
    "cuda": Defaults("Qwen/Qwen2.5-Math-1.5B", "bfloat16", 128, 512, 128, 8192),
}


@dataclass(frozen=True)
class Bench:
    """A policy with its engine, on a machine that was measured."""

    config: dict[str, Any]
    device: str
    dtype: Dtype
    machine: Machine
    policy: Transformer
    engine: TorchEngine

    @classmethod
    def prepare(cls, model: str, dtype: Dtype, device: str) -> Bench:
        """A random policy of a known shape.

        Raises:
            UserError: the shape is not known.
        """
        config, kind = shape(model), getattr(torch, dtype)
        policy = random_policy(config, device).to(kind)
        engine = TorchEngine(Decoder(config, policy.state_dict()), end_tokens=[])
        return cls(config, device, dtype, Machine.measured(device, kind), policy, engine)

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return next(self.policy.parameters()).element_size()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--model", help="a name in resources/model_shapes.json")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--sequences", type=int, nargs="+", default=[8, 128, 1024], help="decoded at once")
    parser.add_argument("--prompt", type=int, help="tokens of each prompt")
    parser.add_argument("--new", type=int, help="tokens of each completion")
    parser.add_argument("--grpo", type=int, help="prompts of a GRPO step")
    parser.add_argument("--micro-batch-tokens", type=int, help="computed at a time in an update")
    parser.add_argument("--repeats", type=int, default=3)


def run(args: argparse.Namespace) -> None:
    """Print both tables.

    Raises:
        UserError: the shape is not known, or there is no GPU where one is asked for.
    """
    use_threads(1)
    device = device_of(Hardware(gpus=0 if args.device == "cpu" else 1, device=args.device))
    usual = DEFAULTS[device]
    chosen = {name: getattr(args, name) or getattr(usual, name) for name in vars(usual)}
    bench = Bench.prepare(chosen["model"], chosen["dtype"], device)
    print(f"{chosen['model']}, {chosen['dtype']}, {name_of(device)}, PyTorch {torch.__version__}; measured: ", end="")
    print(f"{bench.machine.bandwidth / 1e9:.1f} GB/s, {bench.machine.peak / 1e9:.0f} GFLOP/s\n")
    loads = [Load(-(-rows // SAMPLES), min(rows, SAMPLES), chosen["prompt"], chosen["new"]) for rows in args.sequences]
    for line in decode_table(bench, loads, args.repeats):
        print(line, flush=True)
    print()
    steps = {"GRPO": chosen["grpo"], "DoPR": 1}
    for line in step_table(bench, steps, loads[0], args.repeats, chosen["micro_batch_tokens"]):
        print(line, flush=True)


def name_of(device: str) -> str:
    """What the numbers are of."""
    return torch.cuda.get_device_name() if device == "cuda" else f"one thread, {platform.machine()}"


def shape(model: str) -> dict[str, Any]:
    """The config.json of a known model, as far as the network goes.

    Raises:
        UserError: the shape is not known.
    """
    known = read_json(KNOWN)
    if model not in known:
        raise UserError(f"--model: {KNOWN} has no {model!r}{suggestion(model, list(known))}")
    kind = "qwen2" if known[model]["attention_bias"] else "llama"
    return {**known[model], "attention_bias": None, "model_type": kind, "rms_norm_eps": 1e-6}


def random_policy(config: dict[str, Any], device: str) -> Transformer:
    """A policy with small random weights, made where it is used."""
    torch.manual_seed(0)
    with torch.device(device):
        policy = Transformer(config)
    for weight in policy.parameters():
        if weight.ndim == 2:  # as Qwen2 begins; PyTorch's own embeddings would make one token certain
            nn.init.normal_(weight, std=0.02)
    return policy.to(device)


def prompts_of(load: Load, config: dict[str, Any]) -> list[list[int]]:
    """Different prompts."""
    return [[(i * 31 + j * 7) % config["vocab_size"] for j in range(load.prompt)] for i in range(load.prompts)]


def draw(bench: Bench, load: Load, new: int, seed: int = 0) -> list[list[Sample]]:
    """The completions of a load, of `new` tokens."""
    return bench.engine.generate(prompts_of(load, bench.config), load.samples, 1.0, new, seed)


def decode_table(bench: Bench, loads: Sequence[Load], repeats: int) -> Iterator[str]:
    """Rows of the first table, for each number of sequences."""
    yield "| sequences | ms a token | tokens/s | of bandwidth | of arithmetic | of the nearer bound |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for load in loads:
        took = max(1e-9, timed_draw(bench, load, load.new, repeats) - timed_draw(bench, load, 1, repeats))
        cost = decoding(bench.config, load, bench.size)
        shares = " | ".join(f"{bound / took:.2f}" for bound in (*cost.bounds(bench.machine), cost.least(bench.machine)))
        steps = load.new - 1
        yield f"| {load.rows} | {1000 * took / steps:.3f} | {load.rows * steps / took:,.0f} | {shares} |"


def timed_draw(bench: Bench, load: Load, new: int, repeats: int) -> float:
    """Median seconds of drawing completions, after a first time."""
    return median([seconds(lambda: draw(bench, load, new), bench.device) for _ in range(repeats + 1)][1:])


def step_table(bench: Bench, steps: dict[str, int], load: Load, repeats: int, most: int | None) -> Iterator[str]:
    """Rows of the second table; steps: name -> prompts."""
    yield "| step | prompts x completions | s/step | rollout, s | update, s | of the bound: rollout | update | step |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for name, prompts in steps.items():
        each = Load(prompts, SAMPLES, load.prompt, load.new)
        rollout, update = timed_steps(bench, each, repeats, most)
        least = [cost(bench.config, each, bench.size).least(bench.machine) for cost in (decoding, training)]
        shares = (least[0] / rollout, least[1] / update, sum(least) / (rollout + update))
        yield (
            f"| {name} | {prompts} x {SAMPLES} | {rollout + update:.4f} | {rollout:.4f} | {update:.4f} | "
            + " | ".join(f"{share:.2f}" for share in shares)
            + " |"
        )


def timed_steps(bench: Bench, load: Load, repeats: int, most: int | None) -> tuple[float, float]:
    """Median seconds of a step's rollouts and of its update, after a first step; an optimiser is held meanwhile."""
    limits = Sampling(temperature=1.0, max_new_tokens=load.new)
    policy = bench.policy.float()  # the learner casts it, and keeps weights in float32
    parts = {"micro_batch_tokens": most, "gradient_checkpointing": most is not None}
    recipe = grpo(load.prompts, load.samples, repeats + 1, dtype=bench.dtype, **parts)
    learner = Learner(policy, recipe, limits, seed=0)
    laps = [timed_step(bench, learner, load, step) for step in range(repeats + 1)][1:]
    return median(rollout for rollout, _ in laps), median(update for _, update in laps)


def timed_step(bench: Bench, learner: Learner, load: Load, step: int) -> tuple[float, float]:
    """Seconds of the rollouts, and of the update on them."""
    groups: list[list[Rollout]] = []

    def roll_out() -> None:
        bench.engine.load_weights(bench.policy.state_dict())
        prompts = prompts_of(load, bench.config)
        samples = draw(bench, load, load.new, step)
        rewards = alternating(load.samples)
        groups.extend(group("p", prompt, drawn, rewards) for prompt, drawn in zip(prompts, samples, strict=True))
        bench.engine.rest()

    return seconds(roll_out, bench.device), seconds(lambda: learner.learn(groups, step), bench.device)
