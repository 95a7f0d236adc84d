"""Any selector in TRL's GRPOTrainer (docs/trl.md).

    trainer = SelectorTrainer(model, reward_funcs, args, train_dataset=dataset, selector="dopr")

The trainer's data loader is asked for its next batch before the rewards of the last one are known, and repeats batches
for `steps_per_generation` and `num_iterations`. So the choice is not made in its sampler: whenever TRL is about to
generate, the rows that the loader brought are replaced by those of the selector's prompts, and the rewards go to the
selector as soon as they are computed. A step of the selector is thus one generation.

Every process has the same selector, chooses the same prompts for all processes and takes its share of the rows; TRL
gathers the rewards. Only the main process writes the log and the state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import Tensor
from trl import GRPOTrainer

from dopr.errors import UserError
from dopr.files import read_json, write_json
from dopr.integrations.driver import SelectorDriver, features_of
from dopr.selection.selector import Features, GroupResult, Setup

STATE = "selector.json"  # in each checkpoint
LOG = "rewards.jsonl"  # in output_dir


class SelectorTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer with a selector. To add one to your own subclass of it, inherit from this and from that.

    Args:
        args: What GRPOTrainer takes.
        kwargs: What GRPOTrainer takes.
        selector: The name of the selector.
        options: Its options.
        history: Prompt id -> accuracies of an earlier run, for selectors that read a profile.
        features: A unit vector for each prompt, [prompts, dimensions], for the option `similarity` of dopr.
        prompt_id: The column of the prompts' ids; by default a prompt's id is the number of its row.
        reward: The reward function whose values the selector sees; by default the weighted sum that TRL trains on.

    Raises:
        UserError: If an argument is refused, or TRL cannot do what the selector asks.
    """

    def __init__(
        self,
        *args: Any,
        selector: str = "dopr",
        options: Mapping[str, Any] | None = None,
        history: Mapping[str, Sequence[float]] | None = None,
        features: Features | None = None,
        prompt_id: str | None = None,
        reward: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if reward is not None and reward not in self.reward_func_names:
            raise UserError(f"reward: {reward!r} is none of {', '.join(self.reward_func_names)}")
        self.observed_reward = reward
        pool = pool_of(self.train_dataset, prompt_id)
        self.row_of = {prompt: row for row, prompt in enumerate(pool)}
        count = self.args.generation_batch_size // self.num_generations
        if count > len(pool):
            raise UserError(f"train_dataset: {len(pool)} rows are fewer than the {count} prompts of a generation batch")
        profile = {prompt: tuple(accuracies) for prompt, accuracies in (history or {}).items()}
        setup = Setup(pool, self.args.seed, count, self.num_generations, profile, features_of(features, len(pool)))
        log = Path(self.args.output_dir) / LOG if self.accelerator.is_main_process else None
        self.driver = SelectorDriver(selector, options or {}, setup, log, "TRL's GRPOTrainer")

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        """Generate for the selector's prompts in place of the loader's; evaluation keeps its own."""
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        self.prompts = self.driver.choose()
        rows = [self.row_of[prompt] for prompt in self.prompts for _ in range(self.num_generations)]
        first = self.accelerator.process_index * len(inputs)
        outputs = super()._generate_and_score_completions(
            [self.train_dataset[row] for row in rows[first : first + len(inputs)]]
        )
        for name, value in self.driver.metrics().items():
            self._metrics["train"][name].append(value)
        return outputs

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """Show the selector the rewards of all processes, [prompts * num_generations, reward functions]."""
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)
        if self.model.training:
            by_rollout = self._observed(rewards).view(-1, self.num_generations).tolist()
            scored = [[reward for reward in group if not math.isnan(reward)] for group in by_rollout]
            pairs = zip(self.prompts, scored, strict=True)
            self.driver.observe([GroupResult(prompt, tuple(group)) for prompt, group in pairs if group])
        return rewards

    def _observed(self, rewards: Tensor) -> Tensor:
        """Return what the selector sees of each rollout; nan where no reward function gave a number."""
        if self.observed_reward is not None:
            return rewards[:, self.reward_func_names.index(self.observed_reward)]
        total: Tensor = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        return total.masked_fill(rewards.isnan().all(dim=1), math.nan)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            write_json(folder / STATE, self.driver.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.driver.load_state_dict(read_json(Path(checkpoint) / STATE))


def pool_of(dataset: Dataset, column: str | None) -> tuple[str, ...]:
    """Return the ids of the prompts, in the order of the rows.

    Raises:
        UserError: If the data set is a stream, or has no such column or an id twice.
    """
    if not isinstance(dataset, Dataset):
        raise UserError(f"train_dataset: a selector needs all rows at hand, and {type(dataset).__name__} is a stream")
    if column is None:
        return tuple(map(str, range(len(dataset))))
    if column not in dataset.column_names:
        raise UserError(f"prompt_id: {column!r} is none of the columns {', '.join(dataset.column_names)}")
    pool = tuple(map(str, dataset[column]))
    if len(set(pool)) < len(pool):
        raise UserError(f"prompt_id: {column!r} has an id twice; give each row its own")
    return pool
