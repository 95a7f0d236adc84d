"""Time an update of one prompt with many completions: prompt read once, padded rows, and TRL's.

    python benchmarks/shared_prompts.py          # the dev extra, for TRL

A random model of 26 million parameters, 64 completions of 64 tokens to a prompt of 128, in float32 on one thread: loss,
gradient and AdamW's step. Padded rows are the same learner with transformers' own sdpa attention. TRL's is its
GRPOTrainer's loss at its defaults, with the same optimiser. Turns alternate, and seconds are the processor's: medians
of --turns.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from dopr.config.schema import SamplingParams
from dopr.data.tokenizer import EOS, PAD, UNKNOWN, build_tokenizer
from dopr.models.attention import PACKED
from dopr.models.network import Policy
from dopr.rollout.engine import Sample
from dopr.runtime.threads import use_threads
from dopr.training.learner import Learner
from models import SIZES, random_network
from workload import alternating, group, grpo

PROMPT, COMPLETIONS, NEW = 128, 64, 64
RATE = 1e-6
Tokens = tuple[int, ...]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="of each side (5)")
    parser.add_argument("--size", choices=SIZES, default="26M")
    args = parser.parse_args()
    use_threads(1)
    logging.set_verbosity_error()
    rng = random.Random(0)
    prompt, *completions = (tuple(rng.choices(range(3, 128), k=k)) for k in (PROMPT, *[NEW] * COMPLETIONS))
    sides = {
        "prompt read once": ours(args.size, PACKED, prompt, completions),
        "padded rows": ours(args.size, "sdpa", prompt, completions),
        "TRL, defaults": theirs(args.size, prompt, completions),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(args.turns + 1):
        for name, update in sides.items():
            start = time.process_time()
            update()
            if turn:  # the first warms up
                found[name].append(time.process_time() - start)
    print("| update | s | prompt read once / it |")
    print("| --- | ---: | ---: |")
    mine = median(found["prompt read once"])
    for name, seconds in found.items():
        print(f"| {name} | {median(seconds):.2f} | {mine / median(seconds):.2f} |")


def ours(
    size: str, attention: str, prompt: tuple[int, ...], completions: list[tuple[int, ...]]
) -> Callable[[], object]:
    """Return a function that makes an update of our learner."""
    sampling = SamplingParams(temperature=1.0, max_new_tokens=NEW)
    learner = Learner(Policy(random_network(size, attention)), grpo(1, COMPLETIONS, 1000), sampling, seed=0)
    samples = [Sample(tokens, (-4.85,) * NEW, "length") for tokens in completions]
    groups = [group("p", prompt, samples, alternating(COMPLETIONS))]
    return lambda: learner.learn(groups, 0)


def theirs(size: str, prompt: Tokens, completions: list[Tokens]) -> Callable[[], object]:
    """Return a function that makes an update by TRL's loss."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(["a"]), pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN
    )
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=COMPLETIONS,
        num_generations=COMPLETIONS,
        max_completion_length=NEW,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    trainer = GRPOTrainer(
        model=random_network(size, "sdpa"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["a"]}),
        processing_class=tokenizer,
    )
    model: Any = trainer.model
    model.train()
    model.gradient_checkpointing_enable(config.gradient_checkpointing_kwargs)  # as its training loop begins with
    adam = torch.optim.AdamW(model.parameters(), lr=RATE)
    trainer.current_gradient_accumulation_steps = 1
    batch = {
        "prompt_ids": torch.tensor([prompt] * COMPLETIONS),
        "prompt_mask": torch.ones(COMPLETIONS, PROMPT, dtype=torch.long),
        "completion_ids": torch.tensor(completions),
        "completion_mask": torch.ones(COMPLETIONS, NEW, dtype=torch.long),
        "advantages": torch.tensor([1.0, -1.0] * (COMPLETIONS // 2)),
        "old_per_token_logps": torch.full((COMPLETIONS, NEW), -4.85),
        "num_items_in_batch": torch.tensor(COMPLETIONS * NEW),
    }

    def update() -> None:
        adam.zero_grad()
        trainer._compute_loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

    return update


if __name__ == "__main__":
    main()
