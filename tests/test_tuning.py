"""The learning-rate search: its table by hand, and that the shipped rates are the ones it chose."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from snakemake.utils import update_config

from dopr.config.recipe import Recipe
from dopr.config.schema import Config
from dopr.tables.tuning import tuning_table
from project import ROOT

SIBLINGS = {
    "dopr_profile": "dopr",
    "dopr_cold": "dopr",
    "max_variance_one": "random_one",
    "one_shot": "grpo",
    "profile": "grpo",
}


def rows_of(rollouts: int, benchmark: str, prompt: str, mode: str, rewards: list[float]) -> list[dict[str, object]]:
    """Return the completions of a question at one checkpoint."""
    names = {"step": rollouts, "rollouts": rollouts, "benchmark": benchmark, "prompt": prompt, "mode": mode}
    others = {"tokens": 0, "finish": "stop", "verdict": "wrong"}
    return [{**names, **others, "sample": i, "reward": reward} for i, reward in enumerate(rewards)]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write completions.parquet of a run."""
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_curve(path: Path, curve: dict[int, float]) -> Path:
    """Write ten sampled completions at each number of rollouts, and one greedy one that must not count."""
    rows = []
    for rollouts, accuracy in curve.items():
        rows += rows_of(rollouts, "chain3", "a", "sampled", [float(i < 10 * accuracy) for i in range(10)])
        rows += rows_of(rollouts, "chain3", "a", "greedy", [1.0])
    return write(path, rows)


def test_rollouts_are_interpolated_averaged_over_pools_and_missed_targets_counted(tmp_path: Path) -> None:
    curves = {
        "easy/m@0.1/7": {0: 0.0, 100: 0.5, 300: 1.0},  # 0.5 at 100, 0.75 at 200
        "hard/m@0.1/7": {0: 0.0, 400: 0.5, 800: 1.0},  # 0.5 at 400, 0.75 at 600
        "easy/m@0.2/7": {0: 0.0, 100: 0.5, 300: 0.5},  # 0.75 never: counts as 300
        "hard/m@0.2/7": {0: 0.0, 100: 0.5, 200: 1.0},  # 0.5 at 100, 0.75 at 150
    }
    paths = [write_curve(tmp_path / "validate" / name / "completions.parquet", curve) for name, curve in curves.items()]
    table = tuning_table(paths, [0.5, 0.75]).set_index("rate")
    assert table.loc[0.1, "to 0.50"] == pytest.approx((100 * 400) ** 0.5)
    assert table.loc[0.1, "to 0.75"] == pytest.approx((200 * 600) ** 0.5)
    assert table.loc[0.2, "to 0.75"] == pytest.approx((300 * 150) ** 0.5)
    assert table["missed"].to_dict() == {0.1: 0, 0.2: 1}
    assert table["final"].to_dict() == {0.1: 1.0, 0.2: 0.75}
    assert table["best"].to_dict() == {0.1: True, 0.2: False}  # a run that misses a target weighs more than speed
    reached = tuning_table(paths, [0.5]).set_index("rate")
    assert reached["missed"].to_dict() == {0.1: 0, 0.2: 0}
    assert reached.loc[0.1, "to 0.50"] > reached.loc[0.2, "to 0.50"]
    assert reached["best"].to_dict() == {0.1: False, 0.2: True}


def test_greedy_completions_do_not_count(tmp_path: Path) -> None:
    path = write_curve(tmp_path / "validate/easy/m@1/0/completions.parquet", {0: 0.2, 10: 0.7})
    table = tuning_table([path], [0.6])
    assert table["to 0.60"].item() == pytest.approx(8.0)  # from 0.2 to 0.7 in 10, so 0.4 above 0.2 after 8
    assert table["final"].item() == pytest.approx(0.7)


def test_questions_and_benchmarks_have_equal_weight_however_many_samples_they_have(tmp_path: Path) -> None:
    rows = []
    for rollouts, rewards in ((0, [0.0]), (10, [1.0])):
        rows += rows_of(rollouts, "chain3", "a", "sampled", rewards)
        rows += rows_of(rollouts, "chain5", "b", "sampled", [0.0] * 4)
        rows += rows_of(rollouts, "chain5", "c", "sampled", rewards * 4)
    path = write(tmp_path / "validate/easy/m@1/0/completions.parquet", rows)
    table = tuning_table([path], [0.6])
    assert table["final"].item() == pytest.approx((1 + (0 + 1) / 2) / 2)
    assert table["to 0.60"].item() == pytest.approx(8.0)  # of 0.75 after 10


def test_every_shipped_recipe_has_the_rate_that_the_search_chose(config: Config) -> None:
    table = pd.read_csv(ROOT / "resources/learning_rates.csv")
    chosen = table[table["best"]].set_index("method")["rate"].to_dict()
    assert set(chosen) == set(config.tune.methods)
    for name, recipe in config.recipes.items():
        assert recipe.learning_rate == chosen[SIBLINGS.get(name, name)], name


def shape(recipe: Recipe) -> tuple[object, ...]:
    """What a learning rate belongs to: everything of an update but the selector."""
    reuse = None if recipe.reuse is None else tuple(recipe.reuse.model_dump().values())
    return recipe.prompts_per_step, recipe.group_size, reuse, recipe.loss.variant


def test_every_method_of_the_ratio_experiment_has_the_rate_of_its_batch_shape(raw: dict) -> None:
    update_config(raw, yaml.safe_load((ROOT / "experiments/ratio.yaml").read_text()))
    config = Config.parse(raw)
    table = pd.read_csv(ROOT / "resources/ratio_learning_rates.csv")
    chosen = table[table["best"]].set_index("method")["rate"].to_dict()
    assert set(chosen) == set(config.tune.methods)
    rates = {shape(config.recipes[method]): rate for method, rate in chosen.items()}
    assert len(rates) == len(chosen)
    for method in config.methods:
        assert config.recipes[method].learning_rate == rates[shape(config.recipes[method])], method
