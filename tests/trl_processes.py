"""One of several processes that train a policy in TRL: python trl_processes.py MODEL OUTPUT ROWS."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from test_trl_selection import PROMPTS, make_trainer

model, output, rows = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
seen: list[tuple[str, float]] = []  # the prompt and the reward of each of this process's rollouts


def even(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    rewards = [float(len(completion) % 2 == 0) for completion in completions]
    seen.extend((str(PROMPTS.index(prompt)), reward) for prompt, reward in zip(prompts, rewards, strict=True))
    return rewards


make_trainer(model, output, even, "dopr", {"candidates": 4}, per_device_train_batch_size=rows, max_steps=6).train()
(output / f"seen-{os.environ['RANK']}.json").write_text(json.dumps(seen))
