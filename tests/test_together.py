"""Runs with adapters that share a base and an engine: what is sampled, and that each is what it is alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from dopr.config import Config
from dopr.ledger import Ledger
from dopr.policy import model
from dopr.policy.lora import Merged, adapt, sharing
from dopr.policy.transformer import Transformer
from dopr.recipe import Lora, Recipe, Reward
from dopr.records import Prompt
from dopr.rollout.open_adapters import open_adapter_engine
from dopr.rollout.static import READ_AT_ONCE, uniform_numbers
from dopr.rollout.together import Request, Seat, Together
from dopr.rollout.torch_adapters import TorchAdapters
from dopr.rollout.torch_engine import TorchEngine
from dopr.selection.selector import Setup, make_selector
from dopr.train import Run, train
from dopr.verify.grader import Grader
from project import SMOKE, Project
from test_train import STEPS, StoppedError, make_run

pytest.importorskip("peft")
LORA = Lora(rank=4, alpha=8)
PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]


def scattered(base: Transformer, seed: int, lora: Lora = LORA) -> Transformer:
    """A policy on the base's weights whose adapters do something."""
    policy = sharing(base)
    adapt(policy, lora, seed)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if ".lora_" in name:
                weight += 0.2 * torch.randn(weight.shape, generator=noise)
    return policy


def request(policy: Transformer, seed: int, prompts: list[list[int]] = PROMPTS, **changes: Any) -> Request:
    return replace(Request(prompts, 4, 1.0, 40, seed, Merged(policy)), **changes)


def merged_samples(folder: Path, policy: Transformer, asked: Request) -> list[list[Any]]:
    """What an engine on this policy's merged weights draws with the same numbers."""
    engine = TorchEngine.from_folder(folder, static=True)
    engine.load_weights(Merged(policy))
    seeds = [asked.seed + place for place in range(len(asked.prompts) * asked.n)]
    uniform = uniform_numbers(seeds, asked.max_new_tokens)
    with torch.inference_mode():
        return engine.generate_static(asked.prompts, asked.n, asked.temperature, uniform)


def assert_samples(found: list[list[Any]], expected: list[list[Any]]) -> None:
    """The same tokens, and log-probabilities to rounding."""
    assert [[s.tokens for s in group] for group in found] == [[s.tokens for s in group] for group in expected]
    for mine, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


# --- sampling ---


@pytest.mark.parametrize(
    "targets",
    [None, ["q_proj", "v_proj"], ["k_proj", "down_proj"], ["up_proj"], ["o_proj", "gate_proj"]],
)
def test_each_row_has_its_own_runs_adapters(reference: Any, targets: list[str] | None) -> None:
    """For every kind of network; the engine's base is loaded once, and its own weights are as they were."""
    lora = LORA if targets is None else Lora(rank=4, alpha=8, targets=targets)
    policies = [scattered(reference.policy, seed, lora) for seed in range(3)]
    asked = [request(policy, seed=100 * i) for i, policy in enumerate(policies)]
    engine = TorchAdapters(TorchEngine.from_folder(reference.folder, static=True))
    for policy, one, found in zip(policies, asked, engine.generate_each(asked), strict=True):
        assert_samples(found, merged_samples(reference.folder, policy, one))
    engine.engine.decoder.adapt([{}])
    plain = TorchEngine.from_folder(reference.folder, static=True)
    uniform = uniform_numbers(range(12), 40)
    with torch.inference_mode():
        assert_samples(*(each.generate_static(PROMPTS, 4, 1.0, uniform) for each in (engine.engine, plain)))


def test_what_is_drawn_does_not_depend_on_who_is_beside(tiny: Path) -> None:
    """Requests of other shapes are batches of their own, and rows that end early leave the batch."""
    base = model.load(tiny)
    asked = [request(scattered(base, seed), seed) for seed in range(4)]
    asked[1] = replace(asked[1], n=2)
    asked[2] = replace(asked[2], prompts=[[3] * 20], temperature=0.0)
    asked.append(request(scattered(base, 9), 9, prompts=[[4], [5], [6, 7]]))
    engine = TorchAdapters(TorchEngine.from_folder(tiny, static=True))
    for found, one in zip(engine.generate_each(asked), asked, strict=True):
        assert_samples(found, engine.generate_each([one])[0])
        assert [len(group) for group in found] == [one.n] * len(one.prompts)


@pytest.mark.parametrize(("rows", "read"), [(1, READ_AT_ONCE), (4, 8), (9, 1), (1024, 4)])
def test_where_there_is_little_room_it_takes_more_batches(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, rows: int, read: int
) -> None:
    base = model.load(tiny)
    asked = [request(scattered(base, seed), seed) for seed in range(3)]
    engine = TorchAdapters(TorchEngine.from_folder(tiny, static=True))
    whole = engine.generate_each(asked)
    monkeypatch.setattr("dopr.rollout.torch_adapters.rows_at_once", lambda decoder, length: rows)
    monkeypatch.setattr("dopr.rollout.static.READ_AT_ONCE", read)
    for found, expected in zip(engine.generate_each(asked), whole, strict=True):
        assert_samples(found, expected)


# --- runs ---


@pytest.fixture
def pool() -> list[Prompt]:
    return [Prompt(f"p{i}", f"compute 1 + {i}\n", str(i % 3), "chain1") for i in range(4)]


@pytest.fixture
def recipe(config: Config) -> Recipe:
    changes = {"steps": STEPS, "group_size": 8, "learning_rate": 0.01, "lora": LORA, "options": {"candidates": 2}}
    return config.recipes["dopr"].model_copy(update={**changes, "reward": Reward(kind="random")})


def go(runs: list[Run], base: Path) -> None:
    """Train runs together; each is given a policy on the common weights and a seat."""
    shared = model.load(base).to(getattr(torch, runs[0].recipe.dtype))
    engine = open_adapter_engine(runs[0].sampling, LORA, base, shared, len(runs))
    together = Together(engine, len(runs))
    for place, run in enumerate(runs):
        run.policy, run.engine = sharing(shared), Seat(together, place)
    together.go([partial(train, run) for run in runs])


def seeded(run: Run, seed: int, steps: int = STEPS) -> Run:
    setup = Setup(tuple(run.pool), seed, run.recipe.prompts_per_step, run.recipe.group_size)
    run.seed, run.selector = seed, make_selector(run.recipe.selector, setup, run.recipe.options)
    run.recipe = run.recipe.model_copy(update={"steps": steps})
    return run


def ledger(run: Run) -> list[dict[str, Any]]:
    path = run.state.folder / "whole.parquet"
    Ledger(run.state.folder / "ledger", run.name, run.recipe.steps).write(path)
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("changes", [{}, {"dtype": "bfloat16"}, {"selector": "random_one", "options": {}}])
def test_runs_are_what_they_are_alone(
    tiny: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader, changes: dict[str, Any]
) -> None:
    """Of different lengths, so that the last goes on when the others have ended; in bfloat16 sums round elsewhere."""
    recipe = recipe.model_copy(update=changes)

    def make(name: str) -> list[Run]:
        made = [make_run(tiny, tmp_path / name / str(seed), pool, recipe, grader) for seed in range(3)]
        return [seeded(run, seed, STEPS - seed) for seed, run in enumerate(made)]

    runs, alone = make("together"), make("alone")
    go(runs, tiny)
    for run in alone:
        go([run], tiny)
    close = {"rel": 1e-3, "abs": 1e-4} if recipe.dtype == "float32" else {"rel": 0.1, "abs": 0.05}
    for mine, theirs in zip(runs, alone, strict=True):
        assert ledger(mine) == ledger(theirs)
        assert len(mine.metrics) == len(theirs.metrics) == mine.recipe.steps
        counted = ("step", "rollouts", "tokens", "reward", "updated", "length", "repeated")
        for row, other in zip(mine.metrics, theirs.metrics, strict=True):
            assert [row[key] for key in counted] == [other[key] for key in counted]
            assert row == pytest.approx(other, **close)
        weights = Merged(mine.policy)
        for name, weight in Merged(theirs.policy).items():
            torch.testing.assert_close(weights[name], weight, atol=close["abs"], rtol=close["rel"])
    ended = [Merged(run.policy)["model.layers.0.mlp.up_proj.weight"] for run in runs]
    assert not torch.equal(ended[0], ended[1])
    assert runs[0].policy.get_parameter("model.norm.weight") is runs[1].policy.get_parameter("model.norm.weight")


def test_one_that_fails_ends_the_others_which_go_on_from_their_checkpoints(
    tiny: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    def make(name: str, stops: tuple[int, int]) -> list[Run]:
        made = [make_run(tiny, tmp_path / name / str(i), pool, recipe, grader, stop) for i, stop in enumerate(stops)]
        return [seeded(run, seed) for seed, run in enumerate(made)]

    whole = make("whole", (-1, -1))
    go(whole, tiny)
    with pytest.raises(StoppedError):
        go(make("parts", (-1, 3)), tiny)
    resumed = make("parts", (-1, -1))
    go(resumed, tiny)
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine.metrics == theirs.metrics


def test_an_engine_that_fails_ends_all(tiny: Path) -> None:
    together = Together(TorchAdapters(TorchEngine.from_folder(tiny, static=True)), 2)
    policy = scattered(model.load(tiny), 0)

    def work(place: int) -> None:
        seat = Seat(together, place)
        seat.load_weights(Merged(policy))
        seat.generate([[1] * 90], 1, 1.0, 90, 0)  # beyond the context of 96

    with pytest.raises(IndexError):
        together.go([partial(work, place) for place in range(2)])


# --- the pipeline ---


@pytest.mark.slow
def test_the_pipelines_seeds_go_together(tmp_path: Path) -> None:
    """In one job; the snapshots of each are a policy of its own."""
    project = Project.copy(tmp_path)
    changes = {"seeds_together": True, "seeds_per_job": 2, "train": {"lora": {"rank": 4, "alpha": 8}}}
    (tmp_path / "together.json").write_text(json.dumps(changes))
    targets = [f"results/train/easy/dopr/{seed}/metrics.csv" for seed in (0, 1)]
    code, output = project.snakemake(*targets, "--cores", "2", *SMOKE, "together.json")
    assert code == 0, output
    folders = [(project.folder / target).parent for target in targets]
    weights = [
        (next(folder.glob("checkpoints/step-00000016")) / "model.safetensors").read_bytes() for folder in folders
    ]
    assert weights[0] != weights[1]
    assert all(json.loads((folder / "provenance.json").read_text())["settings"]["seeds_together"] for folder in folders)
