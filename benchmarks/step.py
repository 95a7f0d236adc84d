"""Time one GRPO step against TRL's, on a random model of 0.8 million parameters and one thread.

Both sides get the same weights, prompts (25 tokens), reward (in Python) and learning rate; each step samples, rewards
and makes one update. TRL runs at its defaults but for the data type, and at its best on a CPU: eager attention, no
gradient checkpointing, and fast float32 products where there are several prompts (with one they slow it down). Turns
alternate, and time is that of the processor, so that other work on the machine hits all alike; each turn's first step
is left out.

Where completions end at random, half the prompts have equal rewards for all of theirs. bfloat16: TRL keeps float32
weights and computes in bfloat16 (its way); here a bfloat16 copy of float32 weights computes.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from dopr.config.schema import SamplingParams
from dopr.data.tokenizer import EOS, PAD, UNKNOWN, build_tokenizer
from dopr.errors import UserError
from dopr.models import checkpoint_io
from dopr.models.fast_matmul import fast_products
from dopr.models.model_folder import end_tokens
from dopr.records import derive_seed
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.threads import use_threads
from dopr.training.learner import Learner
from program import run_program
from workload import group, grpo

WORDS = [chr(0x4E00 + i) for i in range(125)]  # one token each, beside the three special ones
SHAPE: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
PROMPT, NEW, PROMPTS = 25, 64, 64
ENDS = {"fixed": 1e-9, "random": 0.024}  # probability of the end token: never, and 33 tokens in the mean
SIDES = ("TRL, defaults", "TRL, best", "dopr")
Dtype = Literal["float32", "bfloat16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


class BenchmarkError(UserError):
    """The benchmark cannot be run here."""


@dataclass(frozen=True)
class Case:
    """What is timed: prompts a step, completions a prompt, `fixed` or `random` ends, data type."""

    prompts: int
    samples: int
    ends: str
    dtype: Dtype


@dataclass(frozen=True)
class Lap:
    """Processor seconds of a step, of which rollout seconds (0 where unknown), and completion tokens."""

    seconds: float
    rollout: float
    tokens: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--steps", type=int, default=9, help="timed steps a side and case, in three turns")
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=["16x8:fixed", "16x8:random", "1x8:fixed"],
        metavar="PROMPTSxSAMPLES:ENDS",
        help="prompts x completions, and how completions end (fixed or random)",
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)


def run(args: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        BenchmarkError: TRL is not installed, or a shape is not understood.
    """
    if find_spec("trl") is None:
        raise BenchmarkError("benchmarks/step.py compares with TRL, which is not installed: pip install -e '.[dev]'")
    use_threads(1)
    cases = [parse(shape, dtype) for dtype in args.dtypes for shape in args.shapes]
    print("| type | prompts x completions | ends | side | s/step median [min-max] | ours / it | rollout / train s |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            make_model(Path(folder), case.ends)
            laps: dict[str, list[Lap]] = {side: [] for side in SIDES}
            for turn in range(3):
                for side in SIDES:
                    laps[side] += take_turn(side, case, Path(folder), -(-args.steps // 3), turn)
        for line in lines(case, laps):
            print(line, flush=True)


def parse(shape: str, dtype: Dtype) -> Case:
    """Return the case that a shape such as `16x8:fixed` describes.

    Raises:
        BenchmarkError: it does not look like that.
    """
    size, _, ends = shape.partition(":")
    prompts, _, samples = size.partition("x")
    if ends not in ENDS or not (prompts.isdecimal() and samples.isdecimal()):
        raise BenchmarkError(f"--shapes: {shape!r} is no shape; write 16x8:fixed or 16x8:random")
    return Case(int(prompts), int(samples), ends, dtype)


def make_model(folder: Path, ends: str) -> None:
    """Write a random Qwen2 and its tokenizer.

    All embeddings share a direction, so hidden states do, too. The embedding of the end token lies along it, and its
    length makes the end equally probable everywhere.
    """
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    network = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    embeddings = network.model.embed_tokens.weight
    with torch.no_grad():
        embeddings += 0.02 * torch.randn(embeddings.shape[1])
        hidden = network.model(torch.tensor([prompt_tokens(i) for i in range(PROMPTS)])).last_hidden_state
        shared = hidden.mean((0, 1))
        others = (hidden @ embeddings.t()).logsumexp(-1).mean()
        embeddings[1] = shared / shared.square().sum() * (others + math.log(ENDS[ends]))
    network.save_pretrained(folder)
    tokenizer = build_tokenizer(WORDS)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN)
    wrapped.save_pretrained(folder)


def prompt_tokens(number: int) -> tuple[int, ...]:
    """Return the tokens of a prompt."""
    return tuple(random.Random(number).choices(range(3, 128), k=PROMPT))


def reward(tokens: tuple[int, ...], prompt: tuple[int, ...], ends: str) -> float:
    """Return 1 for about half of the completions.

    Where ends are random, all completions of a prompt whose first token is even get 0.
    """
    return float(sum(tokens) % 2 == 1 and (ends == "fixed" or prompt[0] % 2 == 1))


def take_turn(side: str, case: Case, folder: Path, steps: int, turn: int) -> list[Lap]:
    """Return the laps of one side, without its first step."""
    laps = ours(case, folder, steps + 1, turn) if side == "dopr" else theirs(case, folder, steps + 1, side)
    return laps[1:]


def ours(case: Case, folder: Path, steps: int, turn: int) -> list[Lap]:
    """Time steps as in dopr.training.train: rollouts, rewards, and the learner's update."""
    policy = checkpoint_io.load(folder, case.dtype)
    engine = TorchEngine(policy.network, end_tokens(folder))
    learner = Learner(
        policy,
        grpo(case.prompts, case.samples, steps, dtype=case.dtype),
        SamplingParams(temperature=1.0, max_new_tokens=NEW),
        seed=0,
    )
    numbers = prompt_numbers(case.prompts)
    laps = []
    for step in range(steps):
        start = time.process_time()
        prompts = [prompt_tokens(next(numbers)) for _ in range(case.prompts)]
        drawn = engine.generate(prompts, case.samples, 1.0, NEW, derive_seed(turn, step))
        sampled = time.process_time()
        groups = [
            group(str(i), prompt, samples, [reward(sample.tokens, prompt, case.ends) for sample in samples])
            for i, (prompt, samples) in enumerate(zip(prompts, drawn, strict=True))
        ]
        learner.learn(groups, step)
        tokens = sum(len(sample.tokens) for samples in drawn for sample in samples)
        laps.append(Lap(time.process_time() - start, sampled - start, tokens))
    return laps


def prompt_numbers(at_once: int) -> Iterator[int]:
    """Yield prompts in turn; where several are taken at once, odd and even first tokens alternate."""
    odd, even = ([i for i in range(PROMPTS) if prompt_tokens(i)[0] % 2 == rest] for rest in (1, 0))
    pairs = [number for pair in zip(odd, even, strict=False) for number in pair] if at_once > 1 else odd
    while True:
        yield from pairs


def theirs(case: Case, folder: Path, steps: int, side: str) -> list[Lap]:
    """Time steps of TRL's GRPOTrainer."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.trainer_callback import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    best = side == "TRL, best"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    numbers = prompt_numbers(case.prompts)
    texts = [tokenizer.decode(prompt_tokens(next(numbers))) for _ in range(case.prompts * steps)]
    clock = stopwatch()
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=("sdpa", "eager")[best]
        ),
        reward_funcs=trl_reward(case.ends),
        args=GRPOConfig(
            output_dir=str(folder / "trl"),
            per_device_train_batch_size=case.prompts * case.samples,
            num_generations=case.samples,
            max_completion_length=NEW,
            max_steps=steps,
            bf16=case.dtype == "bfloat16",
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            shuffle_dataset=False,
            gradient_checkpointing=not best,
        ),
        train_dataset=Dataset.from_dict({"prompt": texts}),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    with fast_products() if best and case.prompts > 1 else nullcontext():
        trainer.train()
    return [Lap(seconds, 0.0, 0) for seconds in clock.laps]


def trl_reward(ends: str) -> Any:
    """Return `reward` in the form in which TRL calls it."""
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = build_tokenizer(WORDS)

    def rewards(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        pairs = zip(prompts, completion_ids, strict=True)
        return [reward(tuple(tokens), tuple(tokenizer.encode(text).ids), ends) for text, tokens in pairs]

    return rewards


def stopwatch() -> Any:
    """Make a callback of transformers' trainer that takes the time of each step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.laps: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            """Start the lap."""
            self.start = time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """End the lap."""
            self.laps.append(time.process_time() - self.start)

    return Clock()


def lines(case: Case, laps: dict[str, list[Lap]]) -> Iterator[str]:
    """Return the table rows of one case."""
    mine = median(lap.seconds for lap in laps["dopr"])
    for side, found in laps.items():
        seconds = sorted(lap.seconds for lap in found)
        middle = median(seconds)
        split = "-"
        if side == "dopr":
            rollout = median(lap.rollout for lap in found)
            train = median(lap.seconds - lap.rollout for lap in found)
            speed = sum(lap.tokens for lap in found) / sum(lap.rollout for lap in found)
            length = sum(lap.tokens for lap in found) / len(found) / case.prompts / case.samples
            split = f"{rollout:.3f} / {train:.3f} ({speed:.0f} tokens/s, {length:.0f} a completion)"
        yield (
            f"| {case.dtype} | {case.prompts} x {case.samples} | {case.ends} | {side} | "
            f"{middle:.3f} [{seconds[0]:.3f}-{seconds[-1]:.3f}] | {mine / middle:.2f} | {split} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
