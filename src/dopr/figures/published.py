"""Figures of the numbers that papers print (dopr.analysis.paper_numbers), beside our own where we have them.

docs/figures.md names the figure of the paper that each corresponds to. Papers print final numbers and few points of a
curve; whole curves are drawn from our runs only (dopr.figures.training, dopr.figures.responses, dopr.figures.curves).
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from dopr.analysis.display_names import dataset_name, display_name, measure_name, model_name
from dopr.analysis.paper_numbers import SIX, examples, published
from dopr.figures import points, steps

OWN = ("model", "training", "method", "measure")  # one of our numbers and a printed one are comparable if these agree
COLUMNS = (*OWN, "panel", "row", "series", "step", "value", "low", "high", "unit", "status")
UNITS = {"x": "times"}
B15, B7 = "Qwen2.5-Math-1.5B", "Qwen2.5-Math-7B"
Column = Callable[[pd.Series], str]


def collect(name: str, ours: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the rows of a figure of FIGURES, with COLUMNS.

    Args:
        name: a key of FIGURES.
        ours: the frame of dopr.analysis.run_numbers.own; its numbers of the same model, training, method and measure
            are added with the status `ours`.
    """
    frame = FIGURES[name]()
    frame["unit"] = frame["unit"].replace(UNITS)
    frame = frame.assign(low=float("nan"), high=float("nan"))[list(COLUMNS)]
    if ours is None or ours.empty:
        return frame
    without_steps = frame["step"].isna().all()  # then only our last checkpoint is added
    keys = [*OWN, "panel", "row", "series", "unit"]
    at_end = ours.groupby(list(OWN))["step"].transform("max") == ours["step"]
    own_rows = frame[keys].drop_duplicates().merge(ours[at_end] if without_steps else ours, on=list(OWN))
    own_rows = own_rows.assign(status="ours", step=float("nan") if without_steps else own_rows["step"])
    return pd.concat([frame, own_rows[list(COLUMNS)]], ignore_index=True) if len(own_rows) else frame


def draw(frame: pd.DataFrame) -> Figure:
    """Draw points, or lines if the numbers belong to training steps."""
    return steps.draw(frame) if frame["step"].notna().any() else points.draw(frame)


def _set(row: pd.Series) -> str:
    return dataset_name(row["training"], row["method"])


def _measure(row: pd.Series) -> str:
    return measure_name(row["measure"])


def _points(frame: pd.DataFrame, panel: Column, row: Column, series: Column = lambda row: "") -> pd.DataFrame:
    named = {"panel": panel, "row": row, "series": series}
    names = {column: frame.apply(name, axis=1) for column, name in named.items()}
    return frame.assign(**names, step=float("nan"))


def _lines(frame: pd.DataFrame, panel: str, series: Column) -> pd.DataFrame:
    return frame.assign(panel=panel, row="", series=frame.apply(series, axis=1))


def _only(name: str, *measures: str) -> pd.DataFrame:
    frame = published(name)
    return frame[frame["measure"].isin(measures)] if measures else frame


def _models() -> pd.DataFrame:
    """Return the average over benchmarks of every model."""
    frame = pd.concat([_only("main", "average"), _only("models", "average")], ignore_index=True)
    order = ["base", "pi1", "pi13", "pi605", "pi1209", "pi1_pi13", "pi1_pi2_pi13_pi1209", "random16", "pi1_to_pi16"]
    rank = {name: i for i, name in enumerate([*order, "dsr_sub", "math", "deepscaler"])}
    frame = frame.sort_values("training", key=lambda names: names.map(rank), kind="stable")
    return _points(frame, lambda row: model_name(row["model"]), _set)


def _examples() -> pd.DataFrame:
    """Return the accuracy after training on each single example, and on sets."""
    frame, known = _only("single_examples", "math500", "aime24", "best_step"), examples().set_index("example")
    described = known["category"] + known["remark"].map(lambda remark: f", {remark}" if remark else "")

    def named(row: pd.Series) -> str:
        about = described.get(row["training"])
        return f"{_set(row)} ({about})" if about else _set(row)

    return _points(frame, _measure, named)


def _in_context() -> pd.DataFrame:
    """Return the accuracy with the example in the prompt, and after training on it, for both models."""
    trained = pd.concat([published("main"), published("models")])
    trained = trained[trained["method"].isin(["base", "grpo"]) & trained["training"].isin(["base", "pi1"])]
    trained = trained[trained["model"].isin([B15, B7]) & trained["measure"].isin(["math500", "average"])]
    frame = pd.concat([trained, published("in_context")], ignore_index=True)
    size = {B15: "1.5B", B7: "7B"}
    return _points(
        frame,
        lambda row: f"{_measure(row)}, {size[row['model']]}",
        lambda row: f"{_set(row)}, trained on" if row["method"] == "grpo" else _set(row),
    )


def _dopr() -> pd.DataFrame:
    """Return DoPR's five numbers, whose model the paper does not name, and those of 1-shot RLVR's two models."""
    others = pd.concat([published("main"), published("models")])
    others = others[others["training"].isin(["base", "pi1", "dsr_sub"]) & others["method"].isin(["base", "grpo"])]
    frame = pd.concat([published("dopr"), others[others["model"].isin([B7, B15])]], ignore_index=True)
    frame = frame[frame["measure"].isin(SIX[:-1])]

    def row(line: pd.Series) -> str:
        return f"{model_name(line['model'])}, {_set(line)}" if line["model"] else "DoPR, model not named"

    return _points(frame, _measure, row)


def _claims() -> pd.DataFrame:
    """Return the claimed savings; `up to` and `at least` are part of a claim."""

    def bound(row: pd.Series) -> str:
        begin = row["note"].partition(";")[0]
        return begin if begin in ("up to", "at least", "nearly") else "about"

    def cost(row: pd.Series) -> str:
        return "less time" if row["measure"] == "time" else f"fewer {row['measure']}"

    return _points(published("claims"), cost, lambda row: display_name(row["method"]), bound)


def _entropy_only() -> pd.DataFrame:
    """Return the accuracy of each model before and after training on the entropy loss only."""
    before = pd.concat([published("main"), published("models")])
    after = published("entropy_only")
    models: list[str] = list(after["model"].unique())
    before = before[(before["method"] == "base") & before["model"].isin(models)]
    frame = pd.concat([before, after[after["unit"] == "%"]], ignore_index=True)
    frame = frame.sort_values("model", key=lambda names: names.map(models.index), kind="stable")
    frame = frame[frame["measure"].isin([*SIX, "average"])]
    return _points(frame, lambda row: model_name(row["model"]), _measure, lambda row: display_name(row["method"]))


def _boxed() -> pd.DataFrame:
    return _lines(published("boxed"), f"{dataset_name('pi1', 'grpo')}, MATH500", _measure)


FIGURES: dict[str, Callable[[], pd.DataFrame]] = {
    "accuracy": lambda: _points(published("main"), _measure, _set),
    "best_per_benchmark": lambda: _points(_only("best_per_benchmark", *SIX), _measure, _set),
    "models": _models,
    "arc": lambda: _points(published("arc"), _measure, _set),
    "single_examples": _examples,
    "categories": lambda: _points(published("categories"), _measure, _set),
    "loss_terms": lambda: _points(published("loss_terms"), _measure, lambda row: row["method"]),
    "entropy_only": _entropy_only,
    "format_reward": lambda: _points(published("format_reward"), _measure, _set),
    "wrong_labels": lambda: _points(
        published("wrong_labels"),
        _measure,
        lambda row: row["note"].replace(" of labels", ""),
        lambda row: display_name(row["method"]),
    ),
    "boxed": _boxed,
    "response_length": lambda: _lines(published("response_length"), "response length", _set),
    "pass_at_8": lambda: _lines(published("pass_at_8"), "pass@8 of AIME and AMC", _set),
    "in_context": _in_context,
    "dopr": _dopr,
    "claims": _claims,
}
