"""The benchmark of updates: every way is measured, and the keys are what tells their memory apart."""

from __future__ import annotations

import argparse
import re

import pytest

import update
from update import make_learner, planned, rollouts, ways


@pytest.fixture
def args() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    update.add_arguments(parser)
    return parser.parse_args(["--layers", "2", "--hidden", "32", "--vocabulary", "64", "--completion", "20"])


def test_every_way_is_another_recipe_and_makes_an_update(args: argparse.Namespace) -> None:
    pytest.importorskip("peft")
    norms = {}
    for name, settings in ways(args).items():
        learner = make_learner(args, settings)
        statistics, updates = learner.learn(rollouts(args, args.completion), 0)
        assert updates == 1
        norms[name] = statistics.grad_norm
        assert learner.policy.network.is_gradient_checkpointing == (name not in ("whole", "micro-batches"))
        assert (learner.objective.micro_batch_tokens is None) == (name in ("whole", "gradient checkpointing"))
    assert len(norms) == 5


def test_what_is_planned_falls_with_every_key(args: argparse.Namespace) -> None:
    args.completion, args.layers = 400, 8
    found = {name: planned(args, settings) for name, settings in ways(args).items()}
    assert found["both, LoRA"] < found["both"] < min(found["micro-batches"], found["gradient checkpointing"])
    assert max(found["micro-batches"], found["gradient checkpointing"]) < found["whole"]


@pytest.mark.slow
def test_the_table_has_every_way_and_parts_need_less_than_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft")
    update.main(["--layers", "4", "--completion", "192"])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| update | peak, MB | planned, MB | s |"
    found = {}
    for row in rows:
        name, peak, stated = re.fullmatch(r"\| (.+) \| ([\d,]+) \| ([\d,]+) \| [\d.]+ \|", row).groups()  # type: ignore[union-attr]
        found[name] = float(peak.replace(",", ""))
        assert found[name] == pytest.approx(float(stated.replace(",", "")), rel=0.5)
    assert list(found) == list(ways(argparse.Namespace(micro_batch_tokens=1, rank=1)))
    assert found["both"] < found["micro-batches"] < found["whole"]
