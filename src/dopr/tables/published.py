"""What papers print beside ours, and where papers contradict themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dopr.analysis.paper_numbers import conflicts, published
from dopr.tables.cells import NONE
from dopr.tables.typeset import Table

OWN = ["model", "training", "method", "measure"]  # what says that a number of ours and a printed one are of one thing
LAST = ("main", "models", "arc", "dopr", "in_context", "categories", "entropy_only", "format_reward", "wrong_labels")
BEST = ("best_per_benchmark", "single_examples", "loss_terms")  # of each benchmark its best checkpoint, so of ours too
STEPS = ("boxed", "response_length", "pass_at_8")  # at the step the number is of
NOT_RUN = "not run"
Numbers = Mapping[str, Any]


def published_table(ours: pd.DataFrame) -> Table:
    """One row a printed result: paper | ours | difference with interval | within noise or not.

    A difference is within noise if our 95 % interval, over questions and seeds, holds the printed number. That number
    has noise of its own, of one training run, which nobody printed and nothing here counts.

    Args:
        ours: of dopr.analysis.run_numbers.own; no rows, and every result is "not run".
    """
    records, rows = [], []
    for name in (*LAST, *BEST, *STEPS, "simplified_prompt"):
        for number in published(name).to_dict("records"):
            record = {"file": name, **{str(key): value for key, value in number.items()}}
            found = _match(ours, name, record)
            if found is not None:
                record |= _beside(float(record["value"]), found)
            records.append(record)
            rows.append(_cells(record))
    header = ["paper, table", "model", "trained on", "method", "measure", "unit", "by", "paper", "ours", "difference"]
    return Table(pd.DataFrame(records), [*header, "95 % interval", "within noise"], rows, left=7)


def _match(ours: pd.DataFrame, name: str, record: Numbers) -> Numbers | None:
    """Our number of the same thing, if there is one."""
    same = ours
    for column in OWN:
        same = same[same[column] == record[column]]
    if name in STEPS:
        same = same[same["step"] == record["step"]]
    if same.empty or not record["model"]:
        return None
    found = same.sort_values("value" if name in BEST else "step").iloc[-1]
    return {str(key): value for key, value in found.items()}


def _beside(printed: float, found: Numbers) -> dict[str, Any]:
    low, high = found["low"] - printed, found["high"] - printed
    within = "yes" if low <= 0 <= high else "no"
    own = {"ours": found["value"], "ours_step": found["step"], "seeds": found["seeds"]}
    return {**own, "difference": found["value"] - printed, "low": low, "high": high, "within_noise": within}


def _cells(record: Numbers) -> list[str]:
    place = f"{record['paper']}, {record['where']}".rstrip(", ")
    if record["step"] == record["step"]:  # not nan
        place += f", step {record['step']:.0f}"
    texts = [place, *(str(record[column]) or NONE for column in ("model", "training", "method", "measure", "unit"))]
    texts += [record["status"], f"{record['value']:.1f}" if record["unit"] == "%" else f"{record['value']:g}"]
    if "ours" not in record:
        return [*texts, NOT_RUN, NONE, NONE, NONE]
    spread = f"[{record['low']:+.1f}, {record['high']:+.1f}]"
    return [*texts, f"{record['ours']:.1f}", f"{record['difference']:+.1f}", spread, record["within_noise"]]


def conflict_table() -> Table:
    """One line a known conflict between a paper and its code, its versions, or itself, and what is done here."""
    frame = conflicts()
    header = ["paper", "subject", "says", "where", "against it", "where", "here"]
    return Table(frame, header, frame.to_numpy().tolist(), left=len(header))
