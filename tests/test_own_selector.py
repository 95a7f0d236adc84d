"""A selector in a file of the user's, named as FILE.py:NAME."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from dopr.cli import main
from dopr.commands.replay import parse
from dopr.selection.selector import Setup, check_options, class_of, make_selector, module_of, uses_history
from dopr.workflow import code_hash
from dopr.workflow.code_hash import code_hashes, with_neighbours
from project import ROOT

SCRIPT = ROOT / "scripts/train.py"
LATE = """
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dopr.selection.selector import Setup, StatelessSelector
from turns import turn


@dataclass
class Turns(StatelessSelector):
    setup: Setup
    stride: int = 1
    history_option: ClassVar[str] = ""

    def select(self, step):
        return [self.setup.pool[turn(step, self.stride, len(self.setup.pool))]]


class Plain:
    pass


@dataclass
class NoSetup:
    stride: int = 1
"""
TURNS = """
from dopr.selection.parts.drawing import generator


def turn(step, stride, size):
    return step * stride % size
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/late.py").write_text(LATE)
    (tmp_path / "mine/turns.py").write_text(TURNS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "turns", raising=False)
    return tmp_path


def test_the_example_of_the_docs_takes_the_pool_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/bring_your_own.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Rotation" in block]
    (tmp_path / "rotation.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    selector = make_selector("rotation.py:Rotation", Setup(("a", "b", "c"), 0, 2), {})
    assert [selector.select(step) for step in range(2)] == [["a", "b"], ["c", "a"]]


def test_options_and_history_are_read_as_of_any_selector(folder: Path) -> None:
    name = "mine/late.py:Turns"
    assert module_of(name) == "mine/late.py"
    assert check_options(name, {"stride": "2"}) == {"stride": 2}
    with pytest.raises(ValueError, match="has no option 'strid'; did you mean 'stride'"):
        check_options(name, {"strid": 2})
    assert uses_history(name, {})
    assert make_selector(name, Setup(("a", "b", "c"), 0, 1), {"stride": 2}).select(2) == ["b"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine/late.py:Tunrs", "selector 'mine/late.py:Tunrs' cannot be loaded"),
        ("mine/missing.py:Turns", "selector 'mine/missing.py:Turns' cannot be loaded"),
        ("mine/late.py:Plain", "selector 'mine/late.py:Plain' is no dataclass whose first field is `setup`"),
        ("mine/late.py:NoSetup", "selector 'mine/late.py:NoSetup' is no dataclass whose first field is `setup`"),
        ("mine/late.py:turn", "is no dataclass"),
    ],
)
def test_what_is_no_selector_is_one_line(folder: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        class_of(name)


def test_the_code_of_the_file_its_neighbours_and_what_they_import_counts(folder: Path) -> None:
    hashes = code_hashes(SCRIPT, *with_neighbours("mine/late.py"))
    assert {"mine/late.py", "mine/turns.py", "dopr.selection.selector", "dopr.selection.parts.drawing"} <= set(hashes)
    assert "dopr.selection.random_one" not in hashes
    (folder / "mine/turns.py").write_text(TURNS.replace("step * stride", "step + stride"))
    for function in (code_hash._hash, code_hash._tree, code_hashes):  # sources are read once a process
        function.cache_clear()
    changed = code_hashes(SCRIPT, *with_neighbours("mine/late.py"))
    assert [name for name in hashes if changed[name] != hashes[name]] == ["mine/turns.py"]


def test_replay_takes_it_with_options(folder: Path) -> None:
    assert parse("mine/late.py:Turns") == ("mine/late.py:Turns", {})
    assert parse("mine/late.py:Turns:stride=3") == ("mine/late.py:Turns", {"stride": 3})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('["c"]', "selector bad.py:Bad returned 'c', which is no prompt of the history"),
        ("[]", "selector bad.py:Bad returned no prompt; it must return at least one"),
        ("None", "Bad.select returned None; it must return a list of prompts"),
    ],
)
def test_replay_says_in_one_line_what_a_selector_did_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/bring_your_own.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Rotation" in block]
    head = code.partition("        start, pool")[0].replace("Rotation", "Bad")
    Path("bad.py").write_text(f"{head}        return {returned}\n")
    Path("history.json").write_text('{"a": [0.5, 0.25], "b": [1.0, 0.0]}')
    with pytest.raises(SystemExit) as end:
        main(["replay", "history.json", "--selector", "bad.py:Bad", "--steps", "2", "--seeds", "1"])
    assert str(end.value) == f"error: {message}"
