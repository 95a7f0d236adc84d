"""Published numbers: as many as were transcribed, averages that follow from their parts, and files that say what is
wrong with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from dopr.analysis.paper_numbers import COLUMNS, FOLDER, SIX, conflicts, examples, published
from dopr.data.sources import known_sources
from dopr.files import DataError
from dopr.selection.parts.historical_variance import rank

DATA = Path(os.environ.get("DOPR_DATA") or Path(__file__).parents[2] / "shared" / "data")
RECORD = DATA / "one_shot_rlvr" / "acc_step_500.json"

ROWS = {  # sets x numbers, counted in the papers' tables
    "main": 7 * 7,
    "best_per_benchmark": 9 * 7 + 7,  # six benchmarks and a step; two sets have no average
    "models": (10 + 5 + 2 + 5 + 3 + 6 + 6) * 7,
    "base_checkpoints": 2 * 7 + 2 * 2,
    "arc": 6 * 2,
    "single_examples": 21 * 3 - 1,  # the base policy has no step
    "categories": 6 * 7,
    "loss_terms": 13 * 2,
    "entropy_only": 3 * 7 + 1,
    "format_reward": 8 * 3,
    "boxed": 6 * 3,
    "in_context": 4 * 2,
    "wrong_labels": 2 * 3,
    "simplified_prompt": 2,
    "response_length": 5,
    "pass_at_8": 9,
    "statements": 16,
    "dopr": 5,
    "claims": 13,
}
SETS = ["where", "model", "method", "training", "note"]


def value(name: str, **where: object) -> float:
    """The one number of a file whose columns have some values."""
    frame = published(name)
    for column, wanted in where.items():
        frame = frame[frame[column] == wanted]
    (found,) = frame["value"]
    return float(found)


@pytest.mark.parametrize("name", ROWS)
def test_every_number_is_there(name: str) -> None:
    assert len(published(name)) == ROWS[name]


def test_no_file_is_left_out() -> None:
    assert {path.stem for path in FOLDER.glob("*.csv")} == {*ROWS, "examples", "conflicts"}


def test_averages_follow_from_their_parts() -> None:
    """Seven numbers rounded to one decimal: the printed average is within 0.1 of the mean of the printed six."""
    checked = 0
    for name in ("main", "models", "base_checkpoints", "entropy_only"):
        for key, rows in published(name).groupby(SETS):
            found = rows.set_index("measure")["value"]
            if {*SIX, "average"} <= set(found.index):
                assert found["average"] == pytest.approx(found[list(SIX)].mean(), abs=0.1001), (name, key)
                checked += 1
    assert checked == 7 + 37 + 2 + 3


def test_the_best_of_each_benchmark_is_no_less_than_the_best_checkpoint() -> None:
    best, main = published("best_per_benchmark"), published("main")
    shared = main[main["method"] == "grpo"].merge(best, on=["training", "measure"])
    assert len(shared) == 5 * 6
    assert (shared["value_y"] >= shared["value_x"]).all()


def test_tables_that_repeat_a_number_agree() -> None:
    base = published("main").query("training == 'base'").set_index("measure")["value"]
    for name in ("single_examples", "format_reward", "base_checkpoints"):
        rows = published(name).query(
            "training == 'base' and model == 'Qwen2.5-Math-1.5B' and note != 'as stored by training, step 0'"
        )
        for row in rows[rows["measure"].isin(base.index)].itertuples():
            assert row.value == base[row.measure]
    for training in ("pi1", "pi2", "pi13", "pi1201", "pi1209", "pi1_pi13", "math", "dsr_sub"):
        once = value("single_examples", training=training, method="grpo", measure="math500")
        assert once == value("best_per_benchmark", training=training, measure="math500")
    assert value("boxed", step=1860, measure="math500") == value("single_examples", training="pi1", measure="math500")
    assert value("entropy_only", model="Qwen2.5-Math-1.5B", measure="math500") == 63.4
    assert value("loss_terms", method="ent", measure="math500") == 63.4
    gain = value("entropy_only", measure="math500_gain")
    assert gain == pytest.approx(63.4 - value("main", training="base", measure="math500"))


def test_wrong_labels_begin_at_what_no_wrong_label_gives() -> None:
    right = published("wrong_labels").query("note == '0 % of labels wrong'").set_index("method")["value"]
    assert right["grpo"] == value("main", training="dsr_sub", method="grpo", measure="average")
    assert right["ppo"] == value("models", training="dsr_sub", method="ppo", measure="average")


def test_numbers_of_dopr_are_nobodys_word_but_others() -> None:
    frame = published("dopr")
    assert set(frame["status"]) == {"second-hand", "inferred"}
    assert list(frame.loc[frame["status"] == "inferred", "measure"]) == ["aime24"]
    assert frame["value"].mean() == pytest.approx(48.0, abs=0.05)


def test_benchmarks_are_called_as_the_sources_are() -> None:
    assert set(SIX) <= set(known_sources())
    assert {"arc_easy", "arc_challenge"} <= set(known_sources())


def test_known_conflicts_are_listed_with_what_is_done_about_them() -> None:
    found = conflicts()
    assert len(found) == 14
    for subject in ("updates of the policy", "every loss term", "cannot be guessed", "starting policy", "DoPR"):
        assert found["subject"].str.contains(subject).any()
    # What a line quotes is what the numbers say.
    row = found[found["subject"].str.contains("every loss term")].iloc[0]
    ablated = [value("loss_terms", where="Table 5 row 5", measure=measure) for measure in ("math500", "aime24")]
    alone = [value("single_examples", training="pi1", measure=measure) for measure in ("math500", "aime24")]
    assert row["says"] == f"{ablated[0]} / {ablated[1]}"
    assert row["against"].startswith(f"{alone[0]} / {alone[1]}")


@pytest.mark.skipif(not RECORD.is_file(), reason="needs the public record of 1-shot RLVR: set DOPR_DATA")
def test_examples_have_their_places_in_the_public_record() -> None:
    ranking = rank(json.loads(RECORD.read_text()))
    for row in examples().itertuples():
        assert ranking[int(row.example.removeprefix("pi")) - 1].prompt == row.index_in_dsr_sub


def test_every_single_example_is_described() -> None:
    trained = published("single_examples").query("examples == 1")["training"]
    assert set(trained) == set(examples()["example"])


# --- damaged files ---

GOOD = dict.fromkeys(COLUMNS, "") | {
    **{"paper": "2504.20571", "method": "grpo", "measure": "math500", "value": "1", "unit": "%", "status": "stated"}
}


def written(folder: Path, *changes: dict[str, str]) -> Path:
    pd.DataFrame([{**GOOD, "training": f"p{i}", **change} for i, change in enumerate(changes)]).to_csv(
        folder / "x.csv", index=False
    )
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "much"}, "value is 'much'"),
        ({"value": ""}, "value is ''"),
        ({"value": "-1"}, "value is '-1'"),
        ({"value": "100.5"}, "at most 100 %"),
        ({"status": "true"}, "status is 'true'; it must be one of stated"),
        ({"unit": "percent"}, "unit is 'percent'"),
        ({"step": "1.5"}, "step is '1.5'"),
        ({"measure": ""}, "measure is empty"),
        ({"training": "p0"}, "repeats another row"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with pytest.raises(DataError) as error:
        published("x", written(tmp_path, {}, {}, change))
    assert str(error.value).startswith(f"{tmp_path / 'x.csv'}: line 4: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: no such file; take it from git again"):
        published("nothing", tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"line 1: its columns are a, b; they must be paper, version"):
        published("x", tmp_path)
    (tmp_path / "x.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DataError, match="holds no rows"):
        published("x", tmp_path)
    (tmp_path / "conflicts.csv").write_text("paper,subject,says,where,against,against_where,here\n1,2,3,4,5,,7\n")
    with pytest.raises(DataError, match=r"conflicts\.csv: line 2: against_where is empty"):
        conflicts(tmp_path)


def test_an_empty_step_is_no_number_and_a_value_is_one(tmp_path: Path) -> None:
    frame = published("x", written(tmp_path, {"step": "20"}, {"value": "2.5"}))
    assert frame["step"].tolist()[0] == 20
    assert frame["step"].isna().tolist() == [False, True]
    assert frame["value"].tolist() == [1.0, 2.5]
