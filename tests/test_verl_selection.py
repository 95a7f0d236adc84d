"""Selectors as verl's curriculum sampler: its own configuration, data set, loader and batches, made-up rollouts.

A whole PPO run needs GPUs. What is not verl's here is the order of its loop: draw a batch, sample, save, update.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl", reason="verl is not installed: make test-verl")

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_module
from transformers import AutoTokenizer
from verl import DataProto
from verl.experimental.dataset.sampler import AbstractCurriculumSampler
from verl.trainer.main_ppo import create_rl_sampler
from verl.trainer.ppo.ray_trainer import RayPPOTrainer
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

from dopr.cli import main
from dopr.errors import RewardError, UserError
from dopr.integrations.rewards_log import read_groups
from dopr.profiling.simulate import simulate
from dopr.selection.selector import RolloutRequest, Setup, make_selector

ROWS, BATCH, GROUP = 13, 3, 4  # four steps an epoch
POOL = tuple(str(100 + row) for row in range(ROWS))
LINES = [  # of docs/verl.md
    "data.sampler.class_path=pkg://dopr.integrations.verl",
    "data.sampler.class_name=SelectorSampler",
    "data.dataloader_num_workers=0",
    "+data.sampler.selector=dopr",
    "+data.sampler.options.candidates=4",
    "+data.sampler.group_size=${actor_rollout_ref.rollout.n}",
]
NO_OPTIONS = "~data.sampler.options"


def rewards_of(step: int, prompt: str) -> tuple[float, ...]:
    right = (3 * step + 7 * int(prompt)) % (GROUP + 1)
    return (1.0,) * right + (0.0,) * (GROUP - right)


class Loop:
    """What verl's trainer does with its sampler, without workers."""

    def __init__(self, model: Path, folder: Path, *lines: str, rows: list[dict[str, Any]] | None = None) -> None:
        data = folder / "train.parquet"
        rows = rows or [{"index": 100 + row} for row in range(ROWS)]
        prompts = [[{"role": "user", "content": f"compute {row}"}] for row in range(len(rows))]
        pd.DataFrame({"prompt": prompts, "data_source": "sums", "extra_info": rows}).to_parquet(data)
        with initialize_config_module("verl.trainer.config", version_base=None):
            given = [f"data.train_batch_size={BATCH}", f"actor_rollout_ref.rollout.n={GROUP}", "data.seed=3"]
            self.config = compose("ppo_trainer", [*given, *LINES, f"+data.sampler.log={folder}/rewards.jsonl", *lines])
        tokenizer = AutoTokenizer.from_pretrained(model)
        dataset = RLHFDataset(str(data), tokenizer, self.config.data)
        self.trainer = object.__new__(RayPPOTrainer)  # its workers need GPUs
        self.trainer.config = self.config
        sampler = create_rl_sampler(self.config.data, dataset)
        self.trainer._create_dataloader(dataset, dataset, collate_fn, sampler)
        self.loader, self.log = self.trainer.train_dataloader, folder / "rewards.jsonl"
        self.chosen: list[list[str]] = []

    def run(self, steps: range, save_at: int | None = None) -> dict[str, Any] | None:
        """Run steps, counted from 0; return the state of the loader as verl saves it, before the update of a step."""
        saved, step = None, steps.start
        while step < steps.stop:
            for batch_dict in self.loader:
                batch = self.rollouts(DataProto.from_single_dict(batch_dict), step)
                if step == save_at:
                    saved = copy.deepcopy(self.loader.state_dict())
                assert isinstance(self.loader.sampler, AbstractCurriculumSampler)
                self.loader.sampler.update(batch=batch)
                step += 1
                if step == steps.stop:
                    return saved
        return saved

    def rollouts(self, batch: DataProto, step: int) -> DataProto:
        """Completions of two tokens with probabilities 1/e and 1/e^3, rewards, and another order of the rows."""
        batch.non_tensor_batch["uid"] = np.array([f"{step}/{i}" for i in range(len(batch))], dtype=object)
        self.trainer._get_gen_batch(batch)
        batch = batch.repeat(repeat_times=GROUP, interleave=True)
        prompts = [str(info["index"]) for info in batch.non_tensor_batch["extra_info"]]
        self.chosen.append(prompts[::GROUP])
        rewards = [rewards_of(step, prompt)[row % GROUP] for row, prompt in enumerate(prompts)]
        scores = torch.zeros(len(batch), 2)
        scores[:, 1] = torch.tensor(rewards)
        tensors = {
            "token_level_scores": scores,
            "response_mask": torch.ones(len(batch), 2),
            "old_log_probs": torch.tensor([[-1.0, -3.0]]).repeat(len(batch), 1),
        }
        batch = batch.union(DataProto.from_dict(tensors))
        batch.non_tensor_batch["acc"] = np.array(rewards, dtype=object)
        order = list(range(len(batch)))
        random.Random(step).shuffle(order)
        batch.reorder(torch.tensor(order))  # as _balance_batch does
        return batch


def by_hand(selector: str, options: dict[str, Any], steps: int) -> list[list[str]]:
    """The choices of our own loop when it sees the same rewards."""

    def draw(step: int, request: RolloutRequest) -> tuple[float, ...]:
        return rewards_of(step, request.prompt)

    chooser = make_selector(selector, Setup(POOL, 3, BATCH, GROUP), options)
    return [[request.prompt for request in played.requests] for played in simulate(chooser, range(steps), draw)]


@pytest.mark.parametrize("selector", ["dopr", "greso", "mopps", "random_one"])
def test_the_choices_are_those_of_our_own_loop_over_two_epochs(tiny, tmp_path, selector):
    """These but the last choose by what they saw: rewards that came twice, late or to another prompt would show."""
    options, lines = ({}, [NO_OPTIONS]) if selector in ("greso", "random_one") else ({"candidates": 4}, [])
    loop = Loop(tiny, tmp_path, f"data.sampler.selector={selector}", *lines)
    assert len(loop.loader) == ROWS // BATCH
    loop.run(range(8))
    assert loop.chosen == by_hand(selector, options, 8)
    logged = read_groups(loop.log)
    assert [each.group.prompt for each in logged] == [prompt for chosen in loop.chosen for prompt in chosen]
    assert all(sum(each.group.rewards) == sum(rewards_of(each.step, each.group.prompt)) for each in logged)
    assert {each.group.entropy for each in logged} == {2.0}  # the mean of 1 and 3


@pytest.mark.parametrize("step", [1, 3])
def test_a_resumed_run_makes_the_choices_of_one_that_was_not_stopped(tiny, tmp_path, step):
    """verl saves before the update of a step; step 3 is the last of an epoch."""
    state = Loop(tiny, tmp_path).run(range(step + 2), save_at=step)  # stopped one step later
    resumed = Loop(tiny, tmp_path)
    resumed.loader.load_state_dict(state)
    resumed.run(range(step + 1, 8))
    assert resumed.chosen == by_hand("dopr", {"candidates": 4}, 8)[step + 1 :]
    assert [each.step for each in read_groups(resumed.log)] == sorted([*range(8)] * BATCH)


def test_a_checkpoint_whose_rewards_are_in_no_log_is_one_line(tiny, tmp_path):
    state = Loop(tiny, tmp_path).run(range(2), save_at=1)
    resumed = Loop(tiny, tmp_path, f"data.sampler.log={tmp_path}/other.jsonl")
    resumed.loader.load_state_dict(state)
    with pytest.raises(UserError, match=r"other.jsonl: has no rewards of step 1, and the checkpoint was saved before"):
        resumed.run(range(2, 3))


def test_replay_reads_the_log(tiny, tmp_path, capsys):
    loop = Loop(tiny, tmp_path)
    loop.run(range(8))
    main(["replay", str(loop.log), "--selector", "random_one", "--steps", "5", "--seeds", "2"])
    prompts = len({prompt for chosen in loop.chosen for prompt in chosen})
    assert f"{prompts} prompts, 5 steps, 2 seeds" in capsys.readouterr().out


def test_the_selector_sees_the_result_that_is_named(tiny, tmp_path):
    """As where the score is -1 or 1, and `acc` is 0 or 1."""

    def update(loop: Loop) -> None:
        batch = loop.rollouts(DataProto.from_single_dict(next(iter(loop.loader))), 0)
        batch.batch["token_level_scores"] = 2 * batch.batch["token_level_scores"] - torch.tensor([0.0, 1.0])
        loop.loader.sampler.update(batch=batch)

    loop = Loop(tiny, tmp_path, "+data.sampler.reward=acc")
    update(loop)
    assert [sum(each.group.rewards) for each in read_groups(loop.log)] == [
        sum(rewards_of(0, prompt)) for prompt in loop.chosen[0]
    ]
    with pytest.raises(RewardError, match="are not within 0 and 1, as selectors need them; name a reward that is"):
        update(Loop(tiny, tmp_path))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["data.sampler.selector=speed", NO_OPTIONS], "selector speed asks for 2 rollouts of a prompt, and"),
        (["data.sampler.selector=dapo", NO_OPTIONS], "selector dapo holds or discards groups after their"),
        (["+data.sampler.options.screening=1"], "asks for 1 rollouts of a prompt, and verl's trainer samples all 4"),
        (["~data.sampler.group_size"], r"data.sampler.group_size: missing; add \+data.sampler.group_size="),
        (["+data.sampler.option=1"], "data.sampler.option: unknown key; did you mean 'options'"),
        (["+data.sampler.options.similarity=text"], "similarity 'text' needs `features`"),
    ],
)
def test_what_verl_cannot_do_is_one_line(tiny, tmp_path, lines, message):
    with pytest.raises(UserError, match=message) as caught:
        Loop(tiny, tmp_path, *lines)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([{"index": 1}, {"index": 1}], "an index twice in"), ([{"split": "a"}, {"split": "b"}], "a row without")],
)
def test_rows_that_cannot_be_told_apart_are_one_line(tiny, tmp_path, rows, message):
    with pytest.raises(UserError, match=f"data.train_files: {message} extra_info.index; number the rows"):
        Loop(tiny, tmp_path, "data.train_batch_size=1", rows=rows)


def test_another_group_size_than_verls_is_one_line(tiny, tmp_path):
    with pytest.raises(UserError, match="group_size: 8, and verl sampled 4 completions of a prompt"):
        Loop(tiny, tmp_path, "data.sampler.group_size=8").run(range(1))


def test_verl_itself_refuses_workers_of_the_loader(tiny, tmp_path):
    with pytest.raises(AssertionError, match="num_workers must be 0"):
        Loop(tiny, tmp_path, "data.dataloader_num_workers=8")
