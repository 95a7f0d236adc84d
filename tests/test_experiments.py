"""Controls and ablations in experiments/: each is complete, changes what it says alone, and shares what it can."""

from __future__ import annotations

import copy
import math
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from snakemake.utils import update_config

from dopr.analysis.display_names import display_name
from dopr.config.schema import Config
from dopr.selection.selector import GroupResult, Setup, make_selector
from dopr.workflow.preflight import open_config
from dopr.workflow.rule_params import RuleParams
from project import ROOT, SMOKE, Project

FILES = {path.stem: path for path in sorted((ROOT / "experiments").glob("*.yaml"))}
OVERLAYS = [
    name for name, path in FILES.items() if "ablation:" in (text := path.read_text()) and "\nbase:" not in text
]  # on the embedded policy
PAGE = ROOT / "docs/ablations.md"
OWN = ("reward", "loss", "weight_decay", "options", "steps")  # what an overlay's recipe may change


def overlay(name: str) -> dict:
    found: dict = yaml.safe_load(FILES[name].read_text())
    return found


def merged(shipped: dict, name: str) -> Config:
    """What Snakemake makes of config.yaml and an overlay, checked as before a run."""
    raw = copy.deepcopy(shipped)
    update_config(raw, overlay(name))
    return open_config(raw)


@pytest.fixture(scope="module")
def configs(shipped: dict) -> dict[str, Config]:
    return {name: merged(shipped, name) for name in OVERLAYS}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_passes_every_check_before_a_run(configs: dict[str, Config], name: str) -> None:
    assert configs[name].ablation == name


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_trains_something_the_default_does_not(
    configs: dict[str, Config], config: Config, name: str
) -> None:
    new = [method for method in configs[name].methods if method not in config.recipes]
    assert new
    assert sorted(new) == sorted(overlay(name)["recipes"])
    assert all(configs[name].recipes[method] not in config.recipes.values() for method in new)


@pytest.mark.parametrize("name", OVERLAYS)
def test_its_methods_are_those_of_the_default_but_for_one_thing(configs: dict[str, Config], name: str) -> None:
    found = configs[name]
    for method, changes in overlay(name)["recipes"].items():
        assert set(changes) - {"like"} <= set(OWN)
        recipe, other = found.recipes[method].model_dump(), found.recipes[changes["like"]].model_dump()
        assert {key for key in recipe if recipe[key] != other[key]} == set(changes) - {"like"}


def test_what_overlays_share_is_the_same_in_all_so_that_nothing_runs_twice(
    configs: dict[str, Config], config: Config
) -> None:
    jobs = {"default": RuleParams(config), **{name: RuleParams(found) for name, found in configs.items()}}
    for stage in ("data", "base", "evaluate", "profile"):
        assert len({repr(getattr(each, stage)(*[0] * (stage == "base"))) for each in jobs.values()}) == 1
    settings: dict[str, set[str]] = {}
    for each in jobs.values():
        for method in each.config.methods:
            settings.setdefault(method, set()).add(repr(each.train(method)))
    assert [method for method, found in settings.items() if len(found) > 1] == []
    shared = [method for name in OVERLAYS for method in configs[name].methods]
    assert len(shared) > len(set(shared))


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_method_of_a_figure_has_a_name_of_its_own_that_fits(configs: dict[str, Config], name: str) -> None:
    names = [display_name(method) for method in configs[name].methods]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 30


# --- what the overlays about DoPR's parts switch off ---


def choices(config: Config, method: str, rewards: tuple[float, ...]) -> list[str]:
    """What a method's selector chooses if every group of the first half of the pool earns `rewards`."""
    pool = tuple(f"p{i}" for i in range(32))
    recipe = config.recipes[method]
    selector = make_selector(recipe.selector, Setup(pool, 0, 1, history=dict.fromkeys(pool, (0.5,))), recipe.options)
    chosen = []
    for step in range(80):
        (request,) = selector.request(step, [])
        selector.observe(step, GroupResult(request.prompt, rewards if int(request.prompt[1:]) < 16 else (0.0, 1.0)))
        chosen.append(request.prompt)
    return chosen


def test_without_volatility_rewards_do_not_matter_and_all_prompts_get_their_turn(configs: dict[str, Config]) -> None:
    found = configs["dopr_parts"]
    assert choices(found, "dopr_no_volatility", (1.0, 1.0)) == choices(found, "dopr_no_volatility", (0.0, 1.0))
    assert len(set(choices(found, "dopr_no_volatility", (1.0, 1.0)))) == 32
    assert choices(found, "dopr_profile", (1.0, 1.0)) != choices(found, "dopr_profile", (0.0, 1.0))


def test_without_exploration_a_prompt_with_less_volatility_is_not_tried_again(configs: dict[str, Config]) -> None:
    """Half of the pool earns the same reward always: one visit puts such a prompt below the others, for good."""

    def most(method: str) -> int:
        chosen = choices(configs["dopr_parts"], method, (1.0, 1.0))
        return max(chosen.count(prompt) for prompt in chosen if int(prompt[1:]) < 16)

    assert most("dopr_no_exploration") == 1 < most("dopr_profile")


def test_only_the_variants_with_a_prior_need_the_profile(configs: dict[str, Config]) -> None:
    jobs = RuleParams(configs["dopr_parts"])
    needed = {method for method in jobs.config.methods if jobs.needs_history(method)}
    assert needed == {"dopr_profile", "dopr_no_exploration"}


# --- documentation ---


def test_the_page_lists_every_overlay() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(\.\./experiments/(\w+)\.yaml\)", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == [(name, name) for name in OVERLAYS]


# --- runs ---


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_plans_its_runs_and_its_figure_alone(finished: Project, name: str) -> None:
    planned = finished.planned(*SMOKE, f"experiments/{name}.yaml")
    always = {"train", "evaluate", "ablation", "track", "all"}
    assert always <= planned <= always | {"profile"}  # the pool may not be profiled yet


@pytest.mark.slow
def test_an_overlay_runs_and_leaves_the_experiment_as_it_was(edited: Project) -> None:
    """One method of an overlay is enough: the others differ in their recipes alone."""
    parts = ("figures", "tables", "train", "evaluate", "profile", "base")
    before = edited.hashes(*parts)
    (edited.folder / "few.yaml").write_text("methods: [grpo, grpo_random]\n")
    code, output = edited.snakemake(*SMOKE, "experiments/controls.yaml", "few.yaml")
    assert code == 0, output
    assert before.items() <= edited.hashes(*parts).items()
    code, output = edited.snakemake(*SMOKE)
    assert "Nothing to be done" in output

    folder = edited.folder / "results/ablations/controls"
    assert (folder / "accuracy.pdf").read_bytes().startswith(b"%PDF")
    frame = pd.read_csv(folder / "accuracy.csv")
    assert list(frame["method"].unique()) == ["grpo", "grpo_random"]
    assert frame["accuracy"].between(0, 1).all()
    ledger = pq.read_table(edited.folder / "results/train/easy/grpo_random/0/ledger.parquet").to_pandas()
    wrong = (ledger["verdict"] != "correct").to_numpy()
    assert set(ledger["reward"]) == {0.0, 1.0}
    assert ledger["reward"][wrong].mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(wrong.sum()))
