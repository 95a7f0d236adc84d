"""The code hash: what changes it, and for which rule, on a copy of the package that is edited for real."""

from __future__ import annotations

import shutil

import pytest

from dopr.workflow import code_hash as module
from dopr.workflow.code_hash import PACKAGE, closure, code_hash
from dopr.workflow.rule_params import SCRIPTS, RuleParams

STAGES = ("data", "base", "profile", "train", "evaluate")


def codes(params: RuleParams, method: str) -> dict[str, str]:
    """The hash of each stage."""
    profile, train = params.config.recipes[params.config.profile].selector, params.recipe(method).selector
    return {
        "data": params.code("data"),
        "base": params.base(0)["code"],
        "profile": params.code("profile_prompts", profile),
        "train": params.code("train", train),
        "evaluate": params.code("evaluate"),
    }


@pytest.fixture
def edited(config, tmp_path, monkeypatch):
    """The stages whose hash differs in a copy of the package and scripts in which one file is edited."""

    def stages(name: str, added: str = "", old: str = "", new: str = "", method: str = "grpo") -> set[str]:
        before = codes(RuleParams(config), method)
        shutil.copytree(PACKAGE, tmp_path / "dopr", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(SCRIPTS, tmp_path / "scripts")
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1) + added)
        monkeypatch.setattr(module, "PACKAGE", tmp_path / "dopr")
        after = codes(RuleParams(config, tmp_path / "scripts"), method)
        return {stage for stage in STAGES if before[stage] != after[stage]}

    return stages


CODE = "\nUNUSED = 1\n"


def test_every_stage_has_a_hash_of_its_own(config):
    found = codes(RuleParams(config), "grpo")
    assert len(set(found.values())) == len(STAGES)
    assert all(len(value) == 16 and set(value) <= set("0123456789abcdef") for value in found.values())


@pytest.mark.parametrize(
    "edit",
    [
        {"name": "dopr/training/train.py", "added": "\n# a comment\n"},
        {"name": "dopr/training/train.py", "old": '"""The training loop', "new": '"""Another docstring'},
        {"name": "dopr/training/train.py", "old": '    """Sample, grade and reward', "new": '    """Another docstring'},
        {"name": "dopr/training/train.py", "old": "    watch = ", "new": "    watch =   "},
        {"name": "dopr/selection/dopr.py", "old": '    """The `count` highest', "new": '    """Another docstring'},
        {"name": "dopr/config/recipe.py", "old": '    """Training steps.', "new": '    """Another docstring.'},
        {"name": "dopr/training/train.py", "old": "returned no prompt; it must", "new": "has no prompt; it should"},
        {"name": "dopr/runtime/run_state.py", "old": "it starts over", "new": "it begins again"},
        {"name": "scripts/train.py", "added": "\n\n\n# the end\n"},
    ],
)
def test_comments_docstrings_layout_and_messages_change_nothing(edited, edit):
    assert edited(**edit, method="dopr") == set()


@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        ("dopr/training/train.py", {"profile", "train"}),
        ("dopr/training/loss.py", {"profile", "train"}),
        ("dopr/selection/uniform.py", {"profile", "train"}),
        ("dopr/evaluation/evaluate.py", {"evaluate"}),
        ("dopr/rollout/cache.py", {"base", "profile", "train", "evaluate"}),
        ("dopr/data/arithmetic.py", {"data", "base"}),
        ("dopr/data/splits.py", {"data"}),
        ("dopr/profiling/profile.py", {"profile"}),
        ("dopr/files.py", set(STAGES)),
        ("dopr/figures/curves.py", set()),
        ("dopr/config/recipe.py", set(STAGES)),
        ("dopr/workflow/rule_params.py", set()),
        ("scripts/train.py", {"train"}),
    ],
)
def test_an_edit_changes_the_stages_that_run_the_code_and_no_other(edited, edit, stages):
    assert edited(edit, CODE) == stages


def test_a_changed_number_is_a_change(edited):
    found = edited("dopr/rollout/torch_engine.py", old="COMPACT_BELOW = 0.75", new="COMPACT_BELOW = 0.76")
    assert found == {"base", "profile", "train", "evaluate"}


@pytest.mark.parametrize(("method", "stages"), [("dopr", {"train"}), ("grpo", set()), ("one_shot", set())])
def test_a_selector_changes_only_the_jobs_that_name_it(edited, method, stages):
    assert edited("dopr/selection/dopr.py", CODE, method=method) == stages


def test_what_a_selector_imports_belongs_to_it():
    history = "dopr.selection.parts.historical_variance"
    assert history in closure(SCRIPTS / "train.py", "dopr.selection.one_shot")
    assert history not in closure(SCRIPTS / "train.py", "dopr.selection.uniform")


def test_the_closure_follows_imports_that_follow_imports_and_survives_a_circle(tmp_path, monkeypatch):
    package = tmp_path / "dopr"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "a": "from dopr.b import x",
        "b": "import dopr.c",
        "c": "from dopr import a\nimport os",
        "d": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "script.py").write_text("def main():\n    from dopr.a import y\n")
    monkeypatch.setattr(module, "PACKAGE", package)
    assert closure(tmp_path / "script.py") == {"dopr", "dopr.a", "dopr.b", "dopr.c"}


def test_no_stage_that_trains_or_samples_depends_on_code_that_draws_or_tracks_the_comparison():
    for script in ("data", "base", "profile_prompts", "train", "evaluate"):
        found = closure(SCRIPTS / f"{script}.py")
        assert not {
            name for name in found if name.startswith(("dopr.figures", "dopr.tables", "dopr.analysis.statistics"))
        }


def test_the_order_of_extra_modules_does_not_matter():
    modules = ("dopr.selection.dopr", "dopr.selection.uniform")
    assert code_hash(SCRIPTS / "train.py", *modules) == code_hash(SCRIPTS / "train.py", *modules[::-1])


def test_the_hash_of_a_file_is_the_same_with_every_python(tmp_path):
    """With 3.11, 3.12 and later: ast.dump has other fields there, and ast.unparse other quotes in f-strings."""
    (tmp_path / "module.py").write_text(
        "import os\n\n\nclass A:\n    x: int = 1\n\n    def f(self, *given, key=None):\n"
        "        return f'{given!r:>{self.x}} ' f\"{', '.join(os.environ)}\" if key else [i for i in given]\n"
    )
    assert module._hash(tmp_path / "module.py") == "1a043c449e598618"
