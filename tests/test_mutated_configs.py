"""Configurations that are changed at random are refused in one line, or give a plan."""

from __future__ import annotations

import copy
import random

import pytest

import mutated_configs
from mutated_configs import mutated, outcome, places
from project import ROOT


def test_places_are_all_keys_and_items() -> None:
    raw = {"a": {"b": 1}, "c": [2, [3]]}
    assert [key for _, key in places(raw)] == ["a", "b", "c", 0, 1, 0]


def test_a_mutation_changes_a_copy_and_the_same_seed_the_same(shipped: dict) -> None:
    before = copy.deepcopy(shipped)
    first, changes = mutated(shipped, random.Random(3))
    assert shipped == before
    assert first != before
    assert repr(mutated(shipped, random.Random(3))) == repr((first, changes))  # nan is not equal to itself


def test_a_refusal_of_several_lines_or_without_the_file_is_a_failure(shipped: dict, monkeypatch) -> None:
    def refuse(raw: dict, files: object) -> None:
        raise mutated_configs.UserError("seeds: bad")

    monkeypatch.setattr(mutated_configs, "open_config", refuse)
    with pytest.raises(ValueError, match="not one line that names the file: 'seeds: bad'"):
        outcome(shipped)


def test_a_hundred_are_refused_or_planned_and_so_they_are_by_snakemake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert outcome(mutated_configs.yaml.safe_load((ROOT / "config.yaml").read_text())) == "planned"
    mutated_configs.main(["--configs", "100", "--planned", "1"])
    assert capsys.readouterr().out.startswith("100 configurations: {")
