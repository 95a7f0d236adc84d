"""Selectors in TRL's own GRPOTrainer: real trainings of a tiny random policy on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dopr.cli import main
from dopr.errors import RewardError, UserError
from dopr.integrations.rewards_log import read_groups
from dopr.profiling.simulate import simulate
from dopr.selection.selector import RolloutRequest, Setup, make_selector

PROMPTS = [f"compute {a} + {b}\n" for a in range(4) for b in range(3)]
POOL = tuple(map(str, range(len(PROMPTS))))
GENERATIONS = 4
Visit = tuple[str, tuple[float, ...]]  # prompt id, rewards

# What repeats or delays batches in TRL, and the prompts of a generation and the steps from one to the next that follow.
SHAPES: dict[str, tuple[dict[str, Any], int, int]] = {
    "one prompt": ({"per_device_train_batch_size": 4}, 1, 1),
    "three prompts": ({"per_device_train_batch_size": 12}, 3, 1),
    "accumulated": ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, 2, 1),
    "reused": ({"per_device_train_batch_size": 4, "steps_per_generation": 2, "num_iterations": 2}, 2, 4),
}


class Recorder:
    """A reward function that keeps what it gave: every other length of a completion is right."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.__name__ = "even"

    def __call__(self, prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        rewards = [float(len(completion) % 2 == 0) for completion in completions]
        for start in range(0, len(prompts), GENERATIONS):
            assert len(set(prompts[start : start + GENERATIONS])) == 1
            group = tuple(rewards[start : start + GENERATIONS])
            self.visits.append((str(PROMPTS.index(prompts[start])), group))
        return rewards


def make_trainer(model: Path, output: Path, rewards: Any, selector: str, options: dict[str, Any], **shape: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig

    from dopr.integrations.trl import SelectorTrainer

    own = {name: shape.pop(name) for name in ("prompt_id", "reward", "features", "eval_dataset") if name in shape}
    fixed: dict[str, Any] = {
        "output_dir": str(output),
        "num_generations": GENERATIONS,
        "max_completion_length": 6,
        "learning_rate": 0.01,
        "max_steps": 8,
        "lr_scheduler_type": "constant",
        "logging_strategy": "no",
        "save_strategy": "no",
        "seed": 3,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "model_init_kwargs": {"dtype": "float32"},
    }
    return SelectorTrainer(
        model=str(model),
        reward_funcs=rewards,
        args=GRPOConfig(**{**fixed, **shape}),
        train_dataset=Dataset.from_dict({"prompt": PROMPTS, "name": [f"q{i}" for i in range(len(PROMPTS))]}),
        selector=selector,
        options=options,
        **own,
    )


def by_hand(selector: str, options: dict[str, Any], count: int, visits: list[Visit]) -> list[Visit]:
    """The visits of our own loop, when it is given the same rewards."""
    rewards = iter(visits)

    def draw(step: int, request: RolloutRequest) -> tuple[float, ...]:
        return next(rewards)[1]

    chooser = make_selector(selector, Setup(POOL, 3, count, GENERATIONS), options)
    played = simulate(chooser, range(len(visits) // count), draw)
    return [(group.prompt, group.rewards) for step in played for group in step.groups]


def logged(output: Path) -> list[Visit]:
    return [(each.group.prompt, each.group.rewards) for each in read_groups(output / "rewards.jsonl")]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("selector", "options"), [("dopr", {"candidates": 4}), ("greso", {}), ("mopps", {"candidates": 4})]
)
def test_the_choices_are_those_of_our_own_loop_with_the_same_rewards(tiny, tmp_path, shape, selector, options):
    """These selectors choose by what they saw: rewards that came twice, late or in another order would show."""
    settings, count, every = SHAPES[shape]
    recorder = Recorder()
    trainer = make_trainer(tiny, tmp_path, recorder, selector, options, **settings)
    trainer.train()
    assert len(recorder.visits) == count * 8 // every
    assert len({rewards for _, rewards in recorder.visits}) > 1
    assert recorder.visits == by_hand(selector, options, count, recorder.visits) == logged(tmp_path)
    assert [each.step for each in read_groups(tmp_path / "rewards.jsonl")] == sorted([*range(8 // every)] * count)


@pytest.mark.parametrize("shape", ["accumulated", "reused"])
def test_a_resumed_run_makes_the_choices_of_one_that_was_not_stopped(tiny, tmp_path, shape):
    settings = {**SHAPES[shape][0], "save_strategy": "steps", "save_steps": 4}
    whole, stopped, resumed = Recorder(), Recorder(), Recorder()
    make_trainer(tiny, tmp_path / "whole", whole, "dopr", {"candidates": 4}, **settings).train()
    # Stopped after step 6, with a checkpoint of step 4: the log then has two steps too many.
    make_trainer(tiny, tmp_path / "run", stopped, "dopr", {"candidates": 4}, **settings, max_steps=6).train()
    trainer = make_trainer(tiny, tmp_path / "run", resumed, "dopr", {"candidates": 4}, **settings)
    trainer.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-4"))
    assert len(resumed.visits) == len(whole.visits) // 2
    assert resumed.visits == whole.visits[len(whole.visits) // 2 :]
    assert logged(tmp_path / "run") == whole.visits
    final = [json.loads((tmp_path / name / "checkpoint-8/selector.json").read_text()) for name in ("whole", "run")]
    assert final[0] == final[1]
    assert final[0]["step"] == final[0]["observed"] == len(whole.visits) // SHAPES[shape][1]


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "count"), [(2, 1), (8, 4)], ids=["half a group each", "two groups each"])
def test_two_processes_share_the_choices(tiny, tmp_path, rows, count):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [str(Path(__file__).with_name("trl_processes.py")), str(tiny), str(tmp_path), str(rows)]
    subprocess.run([*command, *program], check=True, capture_output=True)
    seen = [json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in (0, 1)]
    joined = [row for i in range(0, 6 * rows, rows) for of in seen for row in of[i : i + rows]]
    groups = [joined[i : i + GENERATIONS] for i in range(0, len(joined), GENERATIONS)]
    assert all(len({prompt for prompt, _ in group}) == 1 for group in groups)
    visits = [(group[0][0], tuple(reward for _, reward in group)) for group in groups]
    assert len(visits) == 6 * count
    assert visits == logged(tmp_path) == by_hand("dopr", {"candidates": 4}, count, visits)


def test_a_checkpoint_of_another_selector_is_refused(tiny, tmp_path):
    settings = {**SHAPES["one prompt"][0], "save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    make_trainer(tiny, tmp_path, Recorder(), "dopr", {"candidates": 4}, **settings).train()
    other = make_trainer(tiny, tmp_path, Recorder(), "mopps", {}, **{**settings, "max_steps": 2})
    with pytest.raises(UserError, match=r"is of selector dopr \{'candidates': 4\}, and not of mopps \{\}; name the"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_an_evaluation_keeps_its_own_prompts_and_is_not_shown_to_the_selector(tiny, tmp_path):
    from datasets import Dataset

    recorder = Recorder()
    exam = Dataset.from_dict({"prompt": PROMPTS[:2]})
    settings = {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 2, "per_device_eval_batch_size": 8}
    make_trainer(tiny, tmp_path, recorder, "dopr", {}, **SHAPES["one prompt"][0], **settings, eval_dataset=exam).train()
    assert [sorted(prompt for prompt, _ in recorder.visits[i : i + 2]) for i in (1, 4)] == [["0", "1"]] * 2
    assert logged(tmp_path) == [recorder.visits[0], recorder.visits[3]]


def test_the_metrics_of_the_selector_are_logged_beside_trls(tiny, tmp_path):
    logging = {"logging_strategy": "steps", "logging_steps": 1, "max_steps": 1}
    trainer = make_trainer(tiny, tmp_path, Recorder(), "dopr", {}, **SHAPES["one prompt"][0], **logging)
    trainer.train()
    first = trainer.state.log_history[0]
    # A prompt that was never visited has the largest volatility, 1/2; at step 0 the bonus is 0.5 sqrt(ln 1) = 0.
    assert (first["selector/volatility"], first["selector/exploration"]) == (0.5, 0.0)
    assert "frac_reward_zero_std" in first


def test_replay_reads_the_log(tiny, tmp_path, capsys):
    make_trainer(
        tiny, tmp_path, Recorder(), "uniform", {}, **SHAPES["three prompts"][0], max_steps=4, prompt_id="name"
    ).train()
    assert sorted(prompt for prompt, _ in logged(tmp_path)) == sorted(f"q{i}" for i in range(12))
    main(["replay", str(tmp_path / "rewards.jsonl"), "--selector", "random_one", "--steps", "5", "--seeds", "2"])
    assert "12 prompts, 5 steps, 2 seeds" in capsys.readouterr().out


def test_the_selector_sees_the_reward_function_that_is_named(tiny, tmp_path):
    """The other one is out of range, and TRL trains on the sum of both; None is no reward."""
    recorder = Recorder()

    def length(completions: list[str], **_: Any) -> list[float]:
        return [float(len(completion)) for completion in completions]

    def seldom(completions: list[str], **_: Any) -> list[float | None]:
        return [None, *[1.0] * (len(completions) - 1)]

    settings = {**SHAPES["three prompts"][0], "max_steps": 1}
    make_trainer(tiny, tmp_path / "a", [length, recorder], "dopr", {}, **settings, reward="even").train()
    assert logged(tmp_path / "a") == recorder.visits
    make_trainer(tiny, tmp_path / "b", [seldom], "dopr", {}, **settings).train()
    assert [rewards for _, rewards in logged(tmp_path / "b")] == [(1.0,) * 3, (1.0,) * 4, (1.0,) * 4]
    with pytest.raises(RewardError, match="are not within 0 and 1, as selectors need them; name a reward that is"):
        make_trainer(tiny, tmp_path / "c", [length, recorder], "dopr", {}, **settings).train()


@pytest.mark.parametrize(
    ("selector", "options", "message"),
    [
        ("speed", {}, "selector speed asks for 2 rollouts of a prompt, and TRL's GRPOTrainer samples all 4 of a group"),
        ("dopr", {"screening": 1}, "selector dopr asks for 1 rollouts of a prompt"),
        (
            "dapo",
            {},
            "selector dapo holds or discards groups after their rollouts, and TRL's GRPOTrainer trains",
        ),
        ("dopr", {"windw": 1}, "selector dopr has no option 'windw'; did you mean 'window'"),
        ("dorp", {}, "selector 'dorp' does not exist"),
        ("one_shot", {}, "top 1 asked for, but only 0 prompts have a history"),
        ("dopr", {"similarity": "text"}, "similarity 'text' needs `features`"),
    ],
)
def test_what_trl_cannot_do_is_one_line(tiny, tmp_path, selector, options, message):
    with pytest.raises(UserError, match=message) as caught:
        make_trainer(tiny, tmp_path, Recorder(), selector, options, **SHAPES["one prompt"][0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt_id": "id"}, "prompt_id: 'id' is none of the columns prompt, name"),
        ({"reward": "odd"}, "reward: 'odd' is none of even"),
        ({"features": [[1.0]]}, "features: 1 vectors are not one for each of the 12 prompts"),
        ({"per_device_train_batch_size": 52}, "12 rows are fewer than the 13 prompts of a generation batch"),
    ],
)
def test_a_wrong_argument_is_one_line(tiny, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        make_trainer(tiny, tmp_path, Recorder(), "dopr", {}, **{**SHAPES["one prompt"][0], **arguments})
