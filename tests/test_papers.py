"""Experiments of the papers: each is complete with every model and machine, and has the settings that are stated."""

from __future__ import annotations

import copy
from itertools import product
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from dopr.config.schema import Config
from dopr.workflow.preflight import open_config
from project import ROOT, Project

PAPERS = ROOT / "experiments/papers"
QUESTIONS = ["one_shot_rlvr", "dopr_vs_grpo"]
MODELS = ["", "qwen7b", "llama3b", "r1_distill15b"]
MACHINES = ["gpu1", "gpu8"]
SMALL = ["math", "arc"]  # what is put behind for other data


def files(*names: str) -> list[Path]:
    return [PAPERS / f"{name}.yaml" if (PAPERS / f"{name}.yaml").is_file() else ROOT / f"experiments/{name}.yaml"
            for name in names if name]  # fmt: skip


def merged(shipped: dict, *names: str) -> dict:
    raw = copy.deepcopy(shipped)
    for path in files(*names):
        update_config(raw, yaml.safe_load(path.read_text()))
    return raw


def test_every_file_is_one_of_these() -> None:
    assert sorted(path.stem for path in PAPERS.glob("*.yaml")) == sorted([*QUESTIONS, *filter(None, MODELS), *SMALL])


@pytest.mark.parametrize(("question", "model", "machine"), list(product(QUESTIONS, MODELS, MACHINES)))
def test_an_experiment_passes_every_check_with_every_model_and_machine(
    shipped: dict, question: str, model: str, machine: str
) -> None:
    config = open_config(merged(shipped, question, model, machine))
    assert config.base.fetched
    assert config.ablation == question
    assert set(config.data.group_of) == {"math500", "aime24", "amc23", "minerva_math", "olympiadbench", "aime25"}


@pytest.mark.parametrize("behind", SMALL)
def test_other_data_may_be_put_behind(shipped: dict, behind: str) -> None:
    config = open_config(merged(shipped, "one_shot_rlvr", behind))
    assert "math" in config.pools or "arc_easy" in config.data.group_of


@pytest.mark.parametrize(
    ("model", "steps", "tokens", "name"),
    [
        ("", 2000, 3072, "Qwen/Qwen2.5-Math-1.5B"),
        ("qwen7b", 1000, 3072, "Qwen/Qwen2.5-Math-7B"),
        ("llama3b", 1000, 3072, "meta-llama/Llama-3.2-3B-Instruct"),
        ("r1_distill15b", 1200, 8192, "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"),
    ],
)
def test_one_shot_rlvr_has_the_settings_that_are_stated(
    shipped: dict, model: str, steps: int, tokens: int, name: str
) -> None:
    config = Config.parse(merged(shipped, "one_shot_rlvr", model))
    recipe = config.recipes["grpo"]
    assert (config.base.model, recipe.steps, config.rollout.max_new_tokens) == (name, steps, tokens)
    assert (recipe.prompts_per_step, recipe.group_size, recipe.epochs, recipe.minibatches) == (128, 8, 1, 1)
    assert (recipe.learning_rate, recipe.warmup_steps, recipe.final_rate) == (1e-6, 0, 1.0)
    assert (recipe.betas, recipe.weight_decay, recipe.max_grad_norm) == ((0.9, 0.999), 0.01, 1.0)
    loss = recipe.loss
    assert (loss.kl, loss.entropy, loss.clip_low, loss.clip_high) == (0.001, 0.001, 0.2, 0.2)
    samples, temperature = config.evaluate.by_benchmark(config.data.group_of)
    assert config.rollout.temperature == temperature["aime24"] == 0.6
    several = 16 if model == "r1_distill15b" else 8
    assert (samples["amc23"], samples["math500"]) == (several, several if model == "r1_distill15b" else 1)
    assert config.evaluation_tokens == tokens


def test_every_method_of_a_pool_of_one_prompt_gets_128_copies(shipped: dict) -> None:
    config = Config.parse(merged(shipped, "one_shot_rlvr"))
    assert config.pools == ["pi1", "pi13", "pi1_pi13", "dsr_sub"]
    assert config.recipes["grpo"].rollouts_per_step == 1024


def test_only_the_selector_tells_dopr_from_the_random_prompt(shipped: dict) -> None:
    recipes = Config.parse(merged(shipped, "dopr_vs_grpo")).recipes
    dopr, random_one = (recipes[name].model_dump() for name in ("dopr_text", "random_one"))
    assert {key for key in dopr if dopr[key] != random_one[key]} == {"selector", "options"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "model", "machine"), [(QUESTIONS[0], "", "gpu8"), (QUESTIONS[1], "qwen7b", "gpu1")]
)
def test_snakemake_plans_an_experiment(
    tmp_path_factory: pytest.TempPathFactory, question: str, model: str, machine: str
) -> None:
    project = Project.copy(tmp_path_factory.mktemp("papers"))
    names = [str(path.relative_to(ROOT)) for path in files(question, model, machine)]
    planned = project.planned("--configfile", *names)
    assert planned == {
        *("code", "data", "store", "fetch", "evaluate_base", "train", "evaluate"),
        *("ablation", "ablation_published", "track", "all"),
    }
