"""Which file a wrong key comes from, when several are merged: the last one that holds it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from dopr.config.config_files import ConfigFiles, has_key
from dopr.config.schema import ConfigError
from dopr.files import DataError
from dopr.workflow.preflight import open_config
from project import ROOT


@pytest.fixture
def files(shipped: dict) -> ConfigFiles:
    """The shipped configuration under two overlays."""
    first = {"evaluate": {"samples": 2}, "recipes": {"mine_0.1": {"like": "dopr_profile", "steps": 3}}}
    return ConfigFiles({"config.yaml": shipped, "first.yaml": first, "second.yaml": {"evaluate": {"samples": 3}}})


def refusal(shipped: dict, overlay: dict) -> str:
    """What is said of a mistake in an overlay, as Snakemake hands it on."""
    files = ConfigFiles({"config.yaml": shipped, "mine.yaml": overlay})
    raw = copy.deepcopy(shipped)
    update_config(raw, overlay)
    with pytest.raises(ConfigError) as caught:
        open_config(raw, files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("problem", "named"),
    [
        ("evaluate.samples: x", "second.yaml: evaluate.samples: x"),
        ("evaluate.targets.0: x", "config.yaml: evaluate.targets.0: x"),  # a list lies where its beginning does
        ("complexity.methods.4: x", "config.yaml: complexity.methods.4: x"),  # its keys are numbers
        ("recipes.mine_0.1.steps: x", "first.yaml: recipes.mine_0.1.steps: x"),  # its name has a dot
        ("recipes.mine_0.1.options.window: x", "config.yaml: recipes.dopr_profile.options.window: x"),
        ("recipes.mine_0.1.loss.kl: x: y", "config.yaml: train.loss.kl: x: y"),
        ("recipes.mine_0.1.selectr: x", "first.yaml: recipes.mine_0.1.selectr: x"),  # missing: where it should be
        ("evaluate.nothing: x", "second.yaml: evaluate.nothing: x"),
        ("nothing: x", "config.yaml: nothing: x"),
        ("seeds repeat", "config.yaml: seeds repeat"),
    ],
)
def test_a_problem_is_named_with_the_last_file_that_holds_its_key(files: ConfigFiles, problem: str, named: str) -> None:
    assert files.named(problem) == named


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"trian": {}}, "mine.yaml: trian: unknown key; did you mean 'train'?"),
        ({"train": {"epoch": 2}}, "mine.yaml: train.epoch: unknown key; did you mean 'epochs'?"),
        ({"rollout": {"temperature": -1}}, "mine.yaml: rollout.temperature: -1 is refused"),
        (
            {"recipes": {"dopr": {"options": {"exploraton": 1}}}},
            "mine.yaml: recipes.dopr.options.exploraton: selector dopr has no option 'exploraton'; did you mean",
        ),
        ({"rollout": {"max_new_tokens": True}}, "mine.yaml: rollout.max_new_tokens: true is refused: it is no"),
        ({"seeds": [0, True]}, "mine.yaml: seeds: true is refused: it is no number; give one"),
        ({"train": {"betas": [0.9, True]}}, "mine.yaml: train.betas: true is refused: it is no number; give one"),
        ({"train": {"minibatches": 9}}, "mine.yaml: train.minibatches: 9 is more than the 8 rollouts a step"),
        ({"train": {"options": {"window": 2}}}, "mine.yaml: train.options.window: selector uniform has no option"),
        ({"train": None}, "mine.yaml: train: None is no mapping; give keys and values"),
        # A key of config.yaml does not fit what the overlay changed: the overlay is named.
        ({"pools": ["hard"]}, "mine.yaml: complexity.pools: 'easy' is not in `pools`; known are hard"),
        ({"data": {"pools": {"easy": None}}}, "mine.yaml: pools: 'easy' is not in data.pools; known are hard"),
        ({"data": {"pools": {"easy": {"size": 9}}}}, "mine.yaml: complexity.methods: 64 is more than the 9 prompts of"),
        ({"base": {"warm_start": {"hidden_size": 6}}}, "mine.yaml: base.warm_start.heads: 4 heads do not divide"),
        ({"base": {"warm_start": {"max_length": 64}}}, "mine.yaml: rollout.max_new_tokens: 64 does not fit"),
        ({"evaluate": {"temperature": 0}}, "mine.yaml: evaluate.samples: 2 samples of chain3 at evaluate.temperature"),
        ({"evaluate": {"samples": 1}}, "mine.yaml: evaluate.pass_at: 2 needs as many samples, but evaluate.samples is"),
        ({"base": {"model": "/nowhere"}}, "mine.yaml: base.model: /nowhere is no model folder: config.json is missing"),
        (
            {"data": {"sources": {"exam": {"file": "gone.jsonl"}}, "benchmarks": {"mine": ["exam"]}}},
            "mine.yaml: data.sources.exam.file: gone.jsonl: no such file",
        ),
        (
            {"data": {"validation": {"source": "math50", "size": 4}}},
            "mine.yaml: data.validation.source: there is no source 'math50'; did you mean 'math500'?",
        ),
        (
            {"data": {"benchmarks": dict.fromkeys(["in-domain", "harder", "cross-domain"])}},
            "mine.yaml: data.benchmarks: ",
        ),
        ({"evaluate": {"reward": "gone.py:f"}}, "mine.yaml: evaluate.reward: 'gone.py:f' cannot be loaded"),
    ],
)
def test_a_mistake_in_an_overlay_is_named_with_the_overlay(shipped: dict, overlay: dict, message: str) -> None:
    assert refusal(shipped, overlay).startswith(message)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"loss": {"variannt": "grpo"}}, "train.loss.variannt: unknown key; did you mean 'variant'?"),
        ({"epochs": True}, "train.epochs: true is refused: it is no number; give one"),
        ({"learning_rate": "fast"}, "train.learning_rate: 'fast' is refused: input should be a valid number, "),
        ({"lora": {"rank": 4, "alpha": 8, "targets": "all"}}, "train.lora.targets: 'all' is refused: input should be"),
        ({"reward": {"kind": "noisy", "share": 0.5}}, "train.reward.share: kind noisy does not read it; remove it"),
    ],
)
def test_a_mistake_in_train_counts_once_and_not_for_each_recipe(shipped: dict, train: dict, message: str) -> None:
    said = refusal(shipped, {"train": train})
    assert said.startswith(f"mine.yaml: {message}")
    assert "more)" not in said
    assert refusal(shipped, {"train": train, "verify": {"seconds": 0}}).endswith("(and 1 more)")


def test_a_misspelt_key_is_named_before_those_that_are_missing(shipped: dict) -> None:
    said = refusal(shipped, {"train": {"lora": {"rnak": 4, "alpha": 8}}})
    assert said == "mine.yaml: train.lora.rnak: unknown key; did you mean 'rank'? (and 1 more)"


def test_a_value_of_several_types_is_refused_once_with_its_key(shipped: dict) -> None:
    said = refusal(shipped, {"evaluate": {"samples": "many"}})
    assert said.startswith("mine.yaml: evaluate.samples: 'many' is refused: input should be a valid integer")
    assert "more)" not in said
    said = refusal(shipped, {"evaluate": {"samples": {"chain3": "x"}}})
    assert said.startswith("mine.yaml: evaluate.samples.chain3: 'x' is refused: input should be a valid integer")
    assert "more)" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1]\npools: [easy]\nseeds: [2]\n", "seeds: stands twice, in lines 1 and 3; remove one"),
        ("train: {loss: {kl: 0,\n kl: 1}}\n", "train.loss.kl: stands twice, in lines 1 and 2; remove one"),
        ("prompt:\n  examples:\n  - {question: a, question: b}\n", "prompt.examples.0.question: stands twice, in"),
        ("a: &x {b: 1, b: 2}\nc: *x\n", "a.b: stands twice, in lines 1 and 1; remove one"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_file_key_and_lines(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        ConfigFiles.read([tmp_path / "mine.yaml"])
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: {message}")


def test_a_key_that_yaml_takes_for_false_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("recipes:\n  no: {selector: random_one}\n")
    with pytest.raises(ConfigError, match=r'mine.yaml: recipes.no: YAML reads this key as true or false; write "no"'):
        ConfigFiles.read([tmp_path / "mine.yaml"])


def test_a_key_may_override_what_a_merge_takes_over(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\ne: [*x, *x]\n")
    assert ConfigFiles.read([tmp_path / "mine.yaml"]).merged()["d"] == {"b": 3, "c": 2}


def test_files_are_merged_as_snakemake_merges_them(shipped: dict) -> None:
    overlay = ROOT / "experiments/loss_terms.yaml"
    raw = copy.deepcopy(shipped)
    update_config(raw, yaml.safe_load(overlay.read_text()))
    files = ConfigFiles.read([ROOT / "config.yaml", overlay], {"--config": {"seeds": [7]}})
    assert files.merged() == {**raw, "seeds": [7]}
    assert files.named("seeds: x") == "--config: seeds: x"


def test_a_file_is_shown_from_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    for name in ("inside/mine.yaml", "yours.yaml"):
        (tmp_path / name).write_text("seeds: [1]\n")
    monkeypatch.chdir(tmp_path / "inside")
    files = ConfigFiles.read([tmp_path / "inside/mine.yaml", tmp_path / "yours.yaml"])
    assert list(files.contents) == ["mine.yaml", str(tmp_path / "yours.yaml")]


def test_what_is_no_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.yaml: no such file"):
        ConfigFiles.read([tmp_path / "absent.yaml"])
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(DataError, match=r"list.yaml: holds no keys and values"):
        ConfigFiles.read([tmp_path / "list.yaml"])


def test_a_key_below_what_is_no_mapping_is_not_held() -> None:
    assert has_key({"a": {"b.c": {"d": None}}}, "a.b.c.d")
    assert not has_key({"a": 3}, "a.b")
    assert not has_key({"ab": 3}, "a")
