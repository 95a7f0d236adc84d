"""Result trees with the structure of real ones and numbers from a seeded random generator.

A method's accuracy rises from the base policy's 0.25 towards 0.88; `pace` is the rollouts it takes to get two thirds
of the way. Everything a real run writes is there, with the same columns and types.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from dopr.config.schema import Config
from dopr.files import write_json, write_prompts
from dopr.records import Prompt, derive_seed
from dopr.selection.parts.historical_variance import rank


@dataclass(frozen=True)
class Method:
    """A training method: rollouts a step = prompts * group."""

    pace: float
    prompts: int = 1
    group: int = 8
    steps: int = 480


METHODS = {
    "grpo": Method(1400, prompts=16, steps=60),
    "random_one": Method(700),
    "max_variance_one": Method(800),
    "one_shot": Method(2500, prompts=16, steps=60),
    "dopr": Method(550),
    "grpo_reuse": Method(200, prompts=8, group=2, steps=60),
    "random_one_reuse": Method(160, group=2),
    "dopr_reuse": Method(150, group=2),
    "top_4": Method(1900, prompts=16, steps=60),
    "top_16": Method(1600, prompts=16, steps=60),
    "top_64": Method(1450, prompts=16, steps=60),
}
CHECKPOINTS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 3840, 5120, 7680)
FAMILIES = ("chain2", "mul2", "eq1", "big1")
BENCHMARKS = ("chain3", "chain5", "word2")


def config_file(path: Path, **changes: Any) -> Path:
    """Write the resolved configuration of results made here: the shipped one with top-level keys replaced.

    The keys `evaluate` and `complexity` change single keys.
    """
    raw = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    raw["data"]["benchmarks"] = {"near": ["chain3", "chain5"], "far": ["word2"]}
    raw["evaluate"]["bootstrap"] = 50
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if key in ("evaluate", "complexity") else value
    path.write_text(Config.parse(raw).model_dump_json())
    return path


def make_results(
    root: Path,
    pools: tuple[str, ...] = ("easy",),
    methods: tuple[str, ...] = ("grpo", "random_one", "dopr"),
    seeds: tuple[int, ...] = (0, 1, 2),
    benchmarks: tuple[str, ...] = BENCHMARKS,
    questions: int = 6,
    pool_size: int = 24,
) -> Path:
    """Write a whole tree below `root`; returns `root`."""
    for pool in pools:
        prompts = _prompts(pool, pool_size)
        write_prompts(root / "data" / f"{pool}.jsonl", prompts)
        _profile(root / "profile" / pool, pool, prompts)
        for method in methods:
            for seed in seeds:
                _train(root / "train" / pool / method / str(seed), pool, prompts, method, seed)
                _evaluate(root / "evaluate" / pool / method / str(seed), pool, method, seed, benchmarks, questions)
    return root


def _rng(*parts: str | int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(*parts))


def _prompts(pool: str, size: int) -> list[Prompt]:
    rng = _rng("pool", pool)
    families = rng.choice(FAMILIES, size=size, p=[0.25, 0.25, 0.2, 0.3])
    return [Prompt(f"{pool}-{i:04d}", f"compute {i}\n", str(i), str(family)) for i, family in enumerate(families)]


def _skill(pool: str, method: str, seed: int, rollouts: float) -> float:
    """Mean accuracy after some rollouts; every pool but `easy` is learned more slowly."""
    plateau = 0.88 + 0.02 * float(_rng("plateau", pool, method, seed).normal())
    pace = METHODS[method].pace * (1.0 if pool == "easy" else 1.6)
    return 0.25 + (plateau - 0.25) * (1 - float(np.exp(-rollouts / pace)))


def _rates(prompts: list[Prompt], skill: float) -> np.ndarray:
    """Success rate of each prompt at a level of skill; those of the last family never succeed."""
    ease = _rng("ease", prompts[0].id).normal(0, 0.8, size=len(prompts))
    rates = 1 / (1 + np.exp(-(np.log(skill / (1 - skill)) + ease)))
    return np.where([prompt.family == FAMILIES[-1] for prompt in prompts], 0.0, rates)


def _train(
    folder: Path, pool: str, prompts: list[Prompt], method: str, seed: int, phase: str = "train"
) -> pd.DataFrame:
    """Write ledger.parquet, metrics.csv and seconds.csv; returns the ledger."""
    settings, rng = METHODS[method], _rng("train", pool, method, seed)
    choices = _choices(rng, len(prompts), method, settings)
    skills = [_skill(pool, method, seed, step * settings.prompts * settings.group) for step in range(settings.steps)]
    rates = np.stack([_rates(prompts, skill) for skill in skills])
    chosen = np.repeat(choices, settings.group, axis=1)
    rewards = (rng.random(chosen.shape) < np.take_along_axis(rates, chosen, axis=1)).astype(np.float32)
    step = np.repeat(np.arange(settings.steps), chosen.shape[1])
    ledger = pd.DataFrame(
        {
            "run": f"{pool}/{method}/{seed}",
            "phase": phase,
            "step": step.astype(np.int32),
            "prompt": np.array([prompt.id for prompt in prompts])[chosen.ravel()],
            "sample": np.tile(np.arange(settings.group), settings.steps * settings.prompts).astype(np.int32),
            "prompt_tokens": np.int32(20),
            "completion_tokens": rng.integers(10, 40, size=step.size).astype(np.int32),
            "reward": rewards.ravel(),
            "verdict": np.where(rewards.ravel() == 1, "correct", "wrong"),
            "finish": "stop",
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    ledger.to_parquet(folder / "ledger.parquet", index=False)
    metrics = _metrics(ledger, settings, rng)
    if method.startswith("dopr"):
        metrics = metrics.assign(volatility=0.5 / metrics["step"], exploration=0.1 * metrics["step"])
    metrics.to_csv(folder / "metrics.csv", index=False)
    _seconds(settings, rng).to_csv(folder / "seconds.csv", index=False)
    told = {"recipe": {"loss": {"kl": 0.0}}, "rollout": {"max_new_tokens": 64}}
    write_json(folder / "provenance.json", {"settings": told})
    return ledger


def _choices(rng: np.random.Generator, pool: int, method: str, settings: Method) -> np.ndarray:
    """Prompt indices, shape (steps, prompts)."""
    if method == "one_shot":
        return np.full((settings.steps, settings.prompts), 3)
    if method.startswith("top_"):
        return rng.integers(0, min(pool, int(method.removeprefix("top_"))), size=(settings.steps, settings.prompts))
    if settings.prompts > 1:
        epochs = -(-settings.steps * settings.prompts // pool)
        order = np.concatenate([rng.permutation(pool) for _ in range(epochs)])
        return order[: settings.steps * settings.prompts].reshape(settings.steps, settings.prompts)
    favoured = rng.permutation(pool)[: max(2, pool // (2 if method.startswith("dopr") else 1))]
    return rng.choice(favoured, size=(settings.steps, 1))


def _metrics(ledger: pd.DataFrame, settings: Method, rng: np.random.Generator) -> pd.DataFrame:
    rewards = ledger["reward"].to_numpy().reshape(settings.steps, settings.prompts, settings.group)
    spread = rewards.max(axis=2) > rewards.min(axis=2)
    by_step = ledger.groupby("step")
    tokens = by_step["prompt_tokens"].sum() + by_step["completion_tokens"].sum()
    steps = np.arange(1, settings.steps + 1)
    return pd.DataFrame(
        {
            "step": steps,
            "rollouts": steps * settings.prompts * settings.group,
            "tokens": tokens.cumsum().to_numpy(),
            "reward": rewards.mean(axis=(1, 2)),
            "frac_reward_zero_std": 1 - spread.mean(axis=1),
            "updated": spread.any(axis=1).astype(float),
            "updates": spread.any(axis=1).cumsum(),
            "entropy": 0.8 * np.exp(-steps / settings.steps) + 0.02 * rng.random(settings.steps),
            "length": by_step["completion_tokens"].mean().to_numpy(),
            "grad_norm": rng.random(settings.steps),
            "learning_rate": 0.0002,
            "logprob_gap": 0.0,
        }
    )


def _seconds(settings: Method, rng: np.random.Generator) -> pd.DataFrame:
    cpu = np.cumsum(0.002 * settings.prompts * settings.group * (1 + 0.1 * rng.random(settings.steps)))
    step = np.arange(1, settings.steps + 1)
    return pd.DataFrame({"step": step, "cpu_seconds": cpu, "wall_seconds": cpu * 1.3, "gpu_seconds": 0.0})


def _profile(folder: Path, pool: str, prompts: list[Prompt]) -> None:
    """The profile is a GRPO run on the whole pool."""
    ledger = _train(folder, pool, prompts, "grpo", 99, phase="profile")
    group = METHODS["grpo"].group
    visits = ledger["reward"].to_numpy().reshape(-1, group).mean(axis=1)
    history: dict[str, list[float]] = {prompt.id: [] for prompt in prompts}
    for prompt, accuracy in zip(ledger["prompt"][::group], visits, strict=True):
        history[prompt].append(float(accuracy))
    write_json(folder / "history.json", history)
    family = {prompt.id: prompt.family for prompt in prompts}
    rows = [[r.rank, r.prompt, family[r.prompt], r.variance, r.mean, r.visits] for r in rank(history)]
    ranking = pd.DataFrame(rows, columns=["rank", "prompt", "family", "variance", "mean", "visits"])
    ranking.to_csv(folder / "ranking.csv", index=False, float_format="%.6f")


def _evaluate(folder: Path, pool: str, method: str, seed: int, benchmarks: tuple[str, ...], questions: int) -> None:
    """Write completions.parquet: step 0 and every checkpoint within the method's budget; greedy and 4 samples."""
    settings, rng = METHODS[method], _rng("evaluate", pool, method, seed)
    per_step = settings.prompts * settings.group
    steps = sorted({0, *(-(-r // per_step) for r in CHECKPOINTS if r <= settings.steps * per_step)})
    ids = [(name, f"{name}-{i:03d}") for name in benchmarks for i in range(questions)]
    ease = np.concatenate(
        [_rng("ease", name).normal(0.4 - 0.1 * b, 0.8, questions) for b, name in enumerate(benchmarks)]
    )
    frames = []
    for step in steps:
        skill = _skill(pool, method, seed, step * per_step)
        rates = 1 / (1 + np.exp(-(np.log(skill / (1 - skill)) + ease)))
        for mode, samples in (("greedy", 1), ("sampled", 4)):
            chance = rates if mode == "sampled" else np.clip(1.3 * rates, 0, 1)
            right = rng.random((len(ids), samples)) < chance[:, None]
            wrong = rng.choice(["wrong", "unparsed"], p=[0.9, 0.1], size=right.shape)
            frames.append(
                pd.DataFrame(
                    {
                        "step": np.int32(step),
                        "rollouts": step * per_step,
                        "tokens": step * per_step * (45 + seed),
                        "benchmark": np.repeat([name for name, _ in ids], samples),
                        "category": np.repeat(["even" if i % 2 else "odd" for i in range(len(ids))], samples),
                        "prompt": np.repeat([prompt for _, prompt in ids], samples),
                        "mode": mode,
                        "sample": np.tile(np.arange(samples), len(ids)).astype(np.int32),
                        "completion_tokens": np.int32(30),
                        "finish": np.where(rng.random(right.size) < 0.02, "length", "stop"),
                        "verdict": np.where(right, "correct", wrong).ravel(),
                        "reward": right.ravel().astype(np.float64),
                        "text": np.where(right, "\\boxed{42}", "recheck: \\boxed{7}").ravel(),
                    }
                )
            )
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat(frames, ignore_index=True).to_parquet(folder / "completions.parquet", index=False)
