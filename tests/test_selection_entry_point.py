"""A selector from another package, found by its entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dopr.selection.selector import Setup, check_options, make_selector, module_of, uses_history
from dopr.workflow.code_hash import closure, code_hash

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
SOURCE = """
from dataclasses import dataclass

from dopr.selection.parts.fixed_set import FixedSet
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    setup: Setup
    last: int = 1

    def __post_init__(self):
        self.chosen = self.setup.pool[-self.last:]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An installed package `lastly`, whose selector takes the last prompts of the pool."""
    (tmp_path / "lastly").mkdir()
    (tmp_path / "lastly" / "__init__.py").write_text("")
    (tmp_path / "lastly" / "chooser.py").write_text(SOURCE)
    info = tmp_path / "lastly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lastly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dopr.selectors]\nlast_ones = lastly.chooser\nghost = lastly.missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "lastly"
    for name in [name for name in sys.modules if name.split(".")[0] == "lastly"]:
        del sys.modules[name]


def test_it_is_found_checked_and_made_by_its_name(package: Path):
    assert module_of("last_ones") == "lastly.chooser"
    check_options("last_ones", {"last": 2})
    with pytest.raises(ValueError, match="selector last_ones has no option 'lst'; did you mean 'last'"):
        check_options("last_ones", {"lst": 2})
    assert not uses_history("last_ones", {})
    assert make_selector("last_ones", Setup(("a", "b", "c"), 0, 3), {"last": 2}).select(0) == ["b", "c", "b"]


def test_its_code_counts_in_the_hash_of_a_stage(package: Path):
    modules = closure(SCRIPT, "lastly.chooser")
    assert {"lastly.chooser", "dopr.selection.parts.fixed_set"} <= modules
    before = code_hash(SCRIPT, "lastly.chooser")
    assert before != code_hash(SCRIPT)
    copy = package / "other.py"  # sources are read once a process, so an edit is another file
    copy.write_text(SOURCE.replace("-self.last", "-self.last - 1"))
    assert code_hash(SCRIPT, "lastly.other") != before


def test_a_module_that_is_not_there_is_named(package: Path):
    with pytest.raises(
        ValueError, match=r"module lastly\.missing, which a selector or bound names, has no source file"
    ):
        code_hash(SCRIPT, "lastly.missing")


def test_it_does_not_hide_a_selector_of_our_own(package: Path):
    info = next(package.parent.glob("*.dist-info")) / "entry_points.txt"
    info.write_text("[dopr.selectors]\nuniform = lastly.chooser\n")
    assert module_of("uniform") == "dopr.selection.uniform"
