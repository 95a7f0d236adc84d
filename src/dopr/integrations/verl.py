"""Any selector as a curriculum sampler of verl's PPO trainer (docs/verl.md; verl up to 0.7.1).

    data.sampler.class_path=pkg://dopr.integrations.verl data.sampler.class_name=SelectorSampler
    data.dataloader_num_workers=0 +data.sampler.selector=dopr ...

verl draws a batch of indices, samples `rollout.n` completions of each, and gives the batch back by `update`, with its
rows in another order (`trainer.balance_batch`). Rows of one prompt have the same `uid`; which prompt it is says
`extra_info.index`, so every row of the data needs its own.

verl saves its checkpoint, with this sampler's state, before `update`. The rewards of that step are therefore missing in
the state; a resumed run reads them from the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from verl import DataProto
from verl.experimental.dataset.sampler import AbstractCurriculumSampler
from verl.utils.dataset.rl_dataset import RLHFDataset

from dopr.errors import UserError, suggestion
from dopr.files import read_json
from dopr.integrations.driver import SelectorDriver, features_of
from dopr.selection.selector import Features, GroupResult, Setup

KEYS = ["class_path", "class_name", "selector", "options", "group_size", "log", "reward", "history", "features"]


class SelectorSampler(AbstractCurriculumSampler):  # type: ignore[misc]
    """The prompts of a selector, a batch at a time.

    Args:
        data_source: verl's data set; the prompts' ids are its `extra_info.index`.
        data_config: The section `data` of verl's configuration. Under `sampler` it has:
            selector: The name of the selector.
            options: Its options.
            group_size: Completions of a prompt, `${actor_rollout_ref.rollout.n}`.
            log: The file to log rewards to, as JSON lines.
            reward: A key of the reward function's results, such as acc; by default the score is what the selector sees.
            history: A JSON file, prompt id -> accuracies of an earlier run, for selectors that read a profile.
            features: A .npy file of unit vectors [prompts, dimensions], for the option `similarity` of dopr.

    Raises:
        UserError: If a key or the data is refused, or verl cannot do what the selector asks.
    """

    def __init__(self, data_source: RLHFDataset, data_config: DictConfig) -> None:
        given = settings_of(data_config)
        self.rows_total = len(data_source)
        pool = pool_of(data_source)
        self.row_of = {prompt: row for row, prompt in enumerate(pool)}
        self.batch_size = data_config.get("gen_batch_size") or data_config.train_batch_size
        self.group_size, self.reward = int(given["group_size"]), given.get("reward")
        history = read_json(Path(given["history"])) if given.get("history") else {}
        vectors: Features | None = np.load(given["features"]) if given.get("features") else None
        setup = Setup(
            pool,
            data_config.get("seed") or 0,
            self.batch_size,
            self.group_size,
            {prompt: tuple(accuracies) for prompt, accuracies in history.items()},
            features_of(vectors, len(pool)),
        )
        self.driver = SelectorDriver(
            given["selector"], given.get("options") or {}, setup, Path(given["log"]), "verl's trainer"
        )
        self.prompts: list[str] = []
        self.batches = 0  # of the current epoch

    def __len__(self) -> int:
        """Return the number of rows, by which verl counts the steps of an epoch."""
        return self.rows_total

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of one epoch; a choice is made when the first row of its batch is asked for."""
        epoch = self.rows_total // self.batch_size
        self.batches %= epoch
        while self.batches < epoch:
            self.prompts = self.driver.choose()
            self.batches += 1
            yield from [self.row_of[prompt] for prompt in self.prompts]

    def update(self, batch: DataProto) -> None:
        """Show the selector the rewards of the batch that was chosen last.

        Raises:
            UserError: If a group is not of `group_size`.
        """
        groups = groups_of(batch, self.reward)
        for group in groups:
            if len(group.rewards) != self.group_size:
                raise UserError(
                    f"data.sampler.group_size: {self.group_size}, and verl sampled {len(group.rewards)} completions of "
                    "a prompt; set it to ${actor_rollout_ref.rollout.n}"
                )
        position = {prompt: i for i, prompt in enumerate(self.prompts)}
        self.driver.observe(sorted(groups, key=lambda group: position.get(group.prompt, len(position))))

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for verl's stateful loader."""
        return {"driver": self.driver.state_dict(), "prompts": list(self.prompts), "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.driver.load_state_dict(state["driver"])
        self.prompts, self.batches = list(state["prompts"]), state["batches"]


def settings_of(data_config: DictConfig) -> dict[str, Any]:
    """Return the keys under data.sampler as plain values.

    Raises:
        UserError: If a key is unknown, or one that is needed is missing.
    """
    given: dict[str, Any] = OmegaConf.to_container(data_config.sampler, resolve=True)
    for key in given:
        if key not in KEYS:
            raise UserError(f"data.sampler.{key}: unknown key{suggestion(key, KEYS)}")
    for key in ("selector", "group_size", "log"):
        if given.get(key) is None:
            raise UserError(f"data.sampler.{key}: missing; add +data.sampler.{key}=... (docs/verl.md)")
    return given


def pool_of(dataset: RLHFDataset) -> tuple[str, ...]:
    """Return the prompts' ids, in the order of the rows.

    Raises:
        UserError: If a row has no index, or one has another's.
    """
    indices = [(row or {}).get("index") for row in dataset.dataframe["extra_info"]]
    pool = tuple(map(str, indices))
    if None in indices or len(set(pool)) < len(pool):
        what = "a row without" if None in indices else "an index twice in"
        raise UserError(f"data.train_files: {what} extra_info.index; number the rows, to tell prompts apart")
    return pool


def groups_of(batch: DataProto, reward: str | None) -> list[GroupResult]:
    """Return the groups of a batch: rows with the same uid, wherever they are."""
    values = batch.non_tensor_batch[reward] if reward else batch.batch["token_level_scores"].sum(-1).tolist()
    rows: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(batch.non_tensor_batch["uid"]):
        rows[uid].append(row)
    return [
        GroupResult(
            str(batch.non_tensor_batch["extra_info"][members[0]]["index"]),
            tuple(float(values[row]) for row in members),
            entropy_of(batch, members),
        )
        for members in rows.values()
    ]


def entropy_of(batch: DataProto, rows: list[int]) -> float:
    """Return the mean of -log p over the sampled tokens of some rows, in nats; nan if verl did not compute it."""
    if "old_log_probs" not in batch.batch:
        return float("nan")
    mask = batch.batch["response_mask"][rows]
    return float(-(batch.batch["old_log_probs"][rows] * mask).sum() / mask.sum())
