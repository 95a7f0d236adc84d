"""The configuration: the shipped one parses, and every mistake is one line that names key, value and fix."""

from __future__ import annotations

import json

import pytest

from dopr.config.config_files import ConfigFiles
from dopr.config.schema import Config, ConfigError
from dopr.config.section import Section
from dopr.workflow.rule_params import RuleParams


def place(raw: dict, path: str, value: object) -> dict:
    """`raw` with the value at a dotted path replaced."""
    *parents, key = path.split(".")
    section = raw
    for parent in parents:
        section = section[parent]
    section[key] = value
    return raw


def refusal(raw: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.parse(raw, ConfigFiles({"mine.yaml": raw}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_configuration_survives_json(config):
    assert Config.parse(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("sedes", "seeds"),
        ("trian", "train"),
        ("rollout.temprature", "temperature"),
        ("data.questionz", "questions"),
        ("data.pools.easy.sise", "size"),
        ("base.warm_start.layer", "layers"),
        ("recipes.grpo.stepz", "steps"),
        ("recipes.grpo_reuse.reuse.widow", "window"),
        ("evaluate.sample", "samples"),
        ("ablatoin", "ablation"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(raw, path, nearest):
    assert refusal(place(raw, path, 1)) == f"mine.yaml: {path}: unknown key; did you mean '{nearest}'?"


def test_a_key_unlike_any_other_is_refused_with_all_that_are_known(raw):
    known = "known are seconds, memory_mb, max_error_share, profile, extraction, workers"
    assert refusal(place(raw, "verify.zzz", 1)) == f"mine.yaml: verify.zzz: unknown key; {known}"


def test_a_misspelt_key_of_all_recipes_is_refused(raw):
    assert ".epoch: unknown key; did you mean 'epochs'?" in refusal(place(raw, "train.epoch", 2))
    del raw["train"]["epoch"]
    assert ".loss.clip_hihg: unknown key; did you mean 'clip_high'?" in refusal(place(raw, "train.loss.clip_hihg", 1))


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("seeds", [], "seeds: [] is refused: list should have at least 1 item"),
        ("seeds", [-1], "seeds.0: -1 is refused: input should be greater than or equal to 0"),
        ("seeds", 3, "seeds: 3 is refused: input should be a valid list"),
        ("methods", [], "methods: [] is refused: list should have at least 1 item"),
        ("data", None, "data: is empty; give it a value, or remove it"),
        ("recipes", [1], "recipes: [1] is refused: input should be a valid dictionary"),
        ("checkpoint_every", 0, "checkpoint_every: 0 is refused: input should be greater than 0"),
        (
            "rollout.temperature",
            -0.1,
            "rollout.temperature: -0.1 is refused: input should be greater than or equal to 0",
        ),
        ("rollout.temperature", 0, "rollout.temperature: 0 makes all rollouts of a prompt equal, so that none has an"),
        ("evaluate", 0.5, "evaluate: 0.5 is refused: input should be a valid dictionary"),
        ("evaluate", None, "evaluate: is empty; give it a value, or remove it"),
        ("evaluate.profile", ["paper"], "evaluate.profile: ['paper'] is refused: input should be 'embedded', 'paper'"),
        ("evaluate.temperature", 0, "evaluate.samples: 2 samples of chain3 at evaluate.temperature 0 would all"),
        ("verify.max_error_share", 2, "verify.max_error_share: 2 is refused: input should be less than or equal to 1"),
        ("recipes.grpo.loss", {"clip_low": 1.0}, "recipes.grpo.loss.clip_low: 1.0 is refused: input should be less"),
        (
            "recipes.grpo.loss",
            {"variant": "ppo"},
            "recipes.grpo.loss.variant: 'ppo' is refused: input should be 'grpo', 'dr_grpo', 'dapo',",
        ),
        (
            "recipes.grpo.loss",
            {"policy_gradient": False},
            "recipes.grpo.loss: every term is off; set policy_gradient, kl or entropy",
        ),
        (
            "recipes.grpo.loss",
            {"overlong_buffer": 65},
            "recipes.grpo.loss.overlong_buffer: 65 is more than the 64 tokens there are",
        ),
        ("recipes.dopr.minibatches", 9, "recipes.dopr.minibatches: 9 is more than the 8 rollouts a step"),
        ("recipes.dopr.critic", {"learning_rate": 0}, "recipes.dopr.critic.learning_rate: 0 is refused: input should"),
        (
            "recipes.grpo.group_size",
            1,
            "recipes.grpo.group_size: 1 is refused: input should be greater than or equal to 2",
        ),
        (
            "recipes.grpo.learning_rate",
            "fast",
            "recipes.grpo.learning_rate: 'fast' is refused: input should be a valid number",
        ),
        ("data.pools.easy.size", 2.5, "data.pools.easy.size: 2.5 is refused: input should be a valid integer"),
        ("data.pools.easy.zero_signal", 1.5, "data.pools.easy.zero_signal: 1.5 is refused: input should be less than"),
        (
            "data.pools.easy.families",
            {"eq1": 0},
            "data.pools.easy.families.eq1: 0 is refused: input should be greater than 0",
        ),
        (
            "data.pools.easy.families",
            {"eq1": 1e30},
            "data.pools.easy.families.eq1: 1e+30 is refused: input should be less than or equal to 1000000",
        ),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key_and_the_range(raw, path, value, line):
    assert refusal(place(raw, path, value)).startswith(f"mine.yaml: {line}")


def test_a_missing_key_is_named(raw):
    del raw["verify"]["seconds"]
    assert refusal(raw) == "mine.yaml: verify.seconds: missing; add it"


def test_further_mistakes_are_counted(raw):
    place(raw, "verify.seconds", 0)
    place(raw, "rollout.max_new_tokens", 0)
    assert refusal(raw).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("methods", ["grpo", "dorp"], "methods: 'dorp' is not in recipes; did you mean 'dopr'?"),
        ("pools", ["esay"], "pools: 'esay' is not in data.pools; did you mean 'easy'?"),
        ("profile", "profil", "profile: 'profil' is not in recipes; did you mean 'profile'?"),
        ("tune.methods", ["dorp"], "tune.methods: 'dorp' is not in recipes; did you mean 'dopr'?"),
        ("complexity.recipe", "grop", "complexity.recipe: 'grop' is not in recipes; did you mean 'grpo'?"),
        ("complexity.pools", ["haard"], "complexity.pools: 'haard' is not in `pools`; did you mean 'hard'?"),
    ],
)
def test_a_name_that_is_not_defined_is_refused_with_the_nearest_one_that_is(raw, path, value, message):
    assert refusal(place(raw, path, value)) == f"mine.yaml: {message}"


def test_savings_are_measured_against_a_method_that_is_trained(raw):
    place(raw, "methods", ["dopr", "random_one"])
    assert Config.parse(raw).reference == "dopr"
    place(raw, "evaluate.reference", "grpo")
    message = "evaluate.reference: 'grpo' is not in `methods`; known are dopr, random_one"
    assert refusal(raw) == f"mine.yaml: {message}"


def test_pass_at_needs_as_many_samples(raw):
    place(raw, "evaluate.samples", 4)
    assert "evaluate.pass_at: 8 needs" in refusal(place(raw, "evaluate.pass_at", [1, 8]))
    assert Config.parse(place(raw, "evaluate.samples", 8)).evaluate.pass_at == [1, 8]


def test_no_point_of_the_complexity_figure_has_more_prompts_than_the_smallest_pool(raw):
    place(raw, "data.pools.easy.size", 100)
    place(raw, "complexity.methods", {101: "top_101"})
    message = "complexity.methods: 101 is more than the 100 prompts of data.pools.easy; set it to null"
    assert refusal(raw) == f"mine.yaml: {message}"
    assert Config.parse(place(raw, "complexity.methods", {100: "top_100", "all": "grpo"}))


def test_no_selector_asks_for_more_candidates_than_the_smallest_pool_has(raw):
    place(raw, "data.pools.easy.size", 100)
    message = "recipes.dopr.options.candidates: 101 is more than the 100 prompts of data.pools.easy"
    assert refusal(place(raw, "recipes.dopr.options", {"candidates": 101})) == f"mine.yaml: {message}"
    assert Config.parse(place(raw, "recipes.dopr.options", {"candidates": 100}))


def test_only_recipes_in_use_are_held_against_the_pools(raw):
    place(raw, "data.pools.easy.size", 10)
    place(raw, "pools", ["easy"])
    place(raw, "complexity.pools", [])
    assert "recipes.grpo.prompts_per_step: 16 is more than the 10 prompts" in refusal(raw)
    place(raw, "methods", ["random_one"])
    assert Config.parse(raw).methods == ["random_one"]
    assert "complexity.methods: 64 is more than" in refusal(place(raw, "complexity.pools", ["easy"]))


def test_checkpoints_are_evaluated_at_the_largest_budget_and_its_halves_where_none_are_named(raw):
    place(raw, "methods", ["grpo", "dopr", "grpo_reuse"])  # 2048, 768 and 256 rollouts
    place(raw, "evaluate.rollouts", None)
    config = Config.parse(raw)
    assert config.evaluated_rollouts == [128, 256, 512, 1024, 2048]
    steps = {method: list(RuleParams(config).train(method).snapshot_steps) for method in config.methods}
    assert steps == {"grpo": [1, 2, 4, 8, 16], "dopr": [16, 32, 64, 96], "grpo_reuse": [8, 16]}
    place(raw, "evaluate.rollouts", [64])
    assert Config.parse(raw).evaluated_rollouts == [64]


def test_only_the_pools_in_use_limit_the_prompts(raw):
    place(raw, "data.pools.spare", {"size": 1, "zero_signal": 0, "families": {"chain2": 1}})
    assert "spare" in Config.parse(raw).data.pools


def test_a_recipe_has_what_all_have_unless_it_says_otherwise(raw):
    place(raw, "train.epochs", 3)
    place(raw, "train.learning_rate", 0.5)
    place(raw, "recipes.mine", {"selector": "uniform", "steps": 3, "learning_rate": 0.25, "prompts_per_step": 4})
    recipe = Config.parse(raw).recipes["mine"]
    assert (recipe.epochs, recipe.learning_rate, recipe.steps) == (3, 0.25, 3)
    assert recipe.rollouts_per_step == 4 * raw["train"]["group_size"]


def test_a_recipe_like_another_takes_what_it_leaves_out_from_it(raw, config):
    place(raw, "recipes.mine", {"like": "dopr_reuse", "steps": 3, "options": {"window": 9}, "reuse": {"groups": 2}})
    recipe, other = Config.parse(raw).recipes["mine"], config.recipes["dopr_reuse"]
    assert recipe.options == {**other.options, "window": 9}
    assert recipe.reuse == other.reuse.model_copy(update={"groups": 2})
    changed = {"steps": 3, "options": recipe.options, "reuse": recipe.reuse}
    assert recipe == other.model_copy(update=changed)


def test_a_recipe_may_switch_off_what_the_other_has(raw):
    place(raw, "recipes.mine", {"like": "dopr_reuse", "reuse": None})
    assert Config.parse(raw).recipes["mine"].reuse is None


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("dorp", "recipes.mine.like: 'dorp' is not defined; did you mean 'dopr'?"),
        ("mine", "recipes.mine.like: 'mine' is itself like 'mine'; name that one"),
        ("yours", "recipes.mine.like: 'yours' is itself like 'grpo'; name that one"),
    ],
)
def test_a_recipe_is_like_one_that_stands_by_itself(raw, like, message):
    place(raw, "recipes.yours", {"like": "grpo"})
    assert refusal(place(raw, "recipes.mine", {"like": like})) == f"mine.yaml: {message}"


def test_a_misspelt_like_is_named(raw):
    message = "mine.yaml: recipes.mine.lik: unknown key; did you mean 'like'?"
    assert refusal(place(raw, "recipes.mine", {"lik": "dopr", "selector": "dopr", "steps": 3})) == message


@pytest.mark.parametrize("name", ["", "a/b", "../train", "a b"])
def test_the_name_of_an_ablation_is_the_name_of_a_folder(raw, name):
    assert refusal(place(raw, "ablation", name)).startswith(f"mine.yaml: ablation: {name!r} is refused: ")


def test_a_recipes_own_loss_changes_single_keys(raw):
    place(raw, "train.loss.clip_low", 0.15)
    place(raw, "recipes.grpo.loss", {"variant": "grpo", "clip_high": 0.3})
    loss = Config.parse(raw).recipes["grpo"].loss
    assert (loss.variant, loss.clip_low, loss.clip_high) == ("grpo", 0.15, 0.3)
    assert Config.parse(raw).recipes["dopr"].loss.clip_high == raw["train"]["loss"]["clip_high"]


def test_advantages_are_divided_as_the_variant_has_it_unless_the_recipe_says_otherwise(raw):
    place(raw, "recipes.grpo.loss", {"variant": "dr_grpo"})
    place(raw, "recipes.dopr.loss", {"variant": "dr_grpo", "advantage_scale": "batch"})
    recipes = Config.parse(raw).recipes
    assert [recipes[name].loss.scale for name in ("grpo", "dopr", "random_one")] == ["none", "batch", "group"]


@pytest.mark.parametrize("variant", ["gspo", "rft"])
def test_a_critic_is_refused_where_it_has_no_use(raw, variant):
    place(raw, "recipes.dopr.critic", {"learning_rate": 0.001})
    place(raw, "recipes.dopr.loss", {"variant": variant})
    message = f"recipes.dopr.loss.variant: {variant} has no use for a critic; leave critic out"
    assert refusal(raw) == f"mine.yaml: {message}"


def test_parsing_leaves_its_input_alone_and_its_output_is_frozen(raw, shipped):
    config = Config.parse(raw)
    assert raw == shipped
    with pytest.raises(ValueError, match="frozen"):
        config.verify.seconds = 1


def test_every_benchmark_has_its_group(config):
    assert config.data.group_of["chain3"] == "in-domain"
    assert list(config.data.group_of) == [name for names in config.data.benchmarks.values() for name in names]


def sections(cls=Section):
    return [found for child in cls.__subclasses__() for found in (child, *sections(child))]


def test_every_key_has_a_description():
    undescribed = [
        f"{section.__name__}.{key}"
        for section in sections()
        if section.__module__.startswith("dopr.config")
        for key, field in section.model_fields.items()
        if not field.description
    ]
    assert undescribed == []


@pytest.mark.parametrize("name", ["my pool", "o'brien", "a/b", "test", "validation", ""])
def test_a_pool_has_a_name_that_files_can_have(raw, name):
    raw["data"]["pools"][name] = raw["data"]["pools"]["easy"]
    assert f"data.pools.{name}: files get this name; give another, of letters" in refusal(raw)


def test_a_method_has_a_name_that_files_can_have(raw):
    raw["recipes"]["my method"] = raw["recipes"]["grpo"]
    assert Config.parse(raw)  # it is not trained
    raw["methods"].append("my method")
    assert "recipes.my method: files get this name; give another, of letters" in refusal(raw)


def test_a_group_of_benchmarks_has_any_name_but_that_of_another_column(raw):
    groups = raw["data"]["benchmarks"]
    groups["in domain, o'brien"] = groups.pop("harder")
    assert "in domain, o'brien" in Config.parse(raw).data.benchmarks
    for name in ("all", "greedy", "a|b", " "):
        raw["data"]["benchmarks"] = groups | {name: ["chain5"]}
        assert f"data.benchmarks: {name!r} cannot head a column of the main table; give the group" in refusal(raw)
