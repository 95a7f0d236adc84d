"""Tables of the numbers that papers print beside ours, and of conflicts within papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dopr.analysis.paper_numbers import conflicts, published
from dopr.tables.cells import NONE
from dopr.tables.typeset import Table

OWN = ["model", "training", "method", "measure"]  # one of our numbers and a printed one are comparable if these agree
LAST = ("main", "models", "arc", "dopr", "in_context", "categories", "entropy_only", "format_reward", "wrong_labels")
BEST = ("best_per_benchmark", "single_examples", "loss_terms")  # each benchmark at its best checkpoint, so ours too
STEPS = ("boxed", "response_length", "pass_at_8")  # at the step of the printed number
NOT_RUN = "not run"
Numbers = Mapping[str, Any]


def published_table(ours: pd.DataFrame) -> Table:
    """Return one row per printed result: paper | ours | difference with interval | within noise or not.

    A difference is within noise if our 95 % interval, over questions and seeds, contains the printed number. The noise
    of that number, from a single training run, is not published and not counted here.

    Args:
        ours: the frame of dopr.analysis.run_numbers.own; if it is empty, every result is "not run".
    """
    records, rows = [], []
    for name in (*LAST, *BEST, *STEPS, "simplified_prompt"):
        for number in published(name).to_dict("records"):
            record = {"file": name, **{str(key): value for key, value in number.items()}}
            own = _match(ours, name, record)
            if own is not None:
                record |= _compared(float(record["value"]), own)
            records.append(record)
            rows.append(_cells(record))
    header = ["paper, table", "model", "trained on", "method", "measure", "unit", "by", "paper", "ours", "difference"]
    return Table(pd.DataFrame(records), [*header, "95 % interval", "within noise"], rows, left=7)


def _match(ours: pd.DataFrame, name: str, record: Numbers) -> Numbers | None:
    """Return our number of the same model, training, method and measure, or None."""
    same = ours
    for column in OWN:
        same = same[same[column] == record[column]]
    if name in STEPS:
        same = same[same["step"] == record["step"]]
    if same.empty or not record["model"]:
        return None
    own = same.sort_values("value" if name in BEST else "step").iloc[-1]
    return {str(key): value for key, value in own.items()}


def _compared(printed: float, own: Numbers) -> dict[str, Any]:
    low, high = own["low"] - printed, own["high"] - printed
    within = "yes" if low <= 0 <= high else "no"
    ours = {"ours": own["value"], "ours_step": own["step"], "seeds": own["seeds"]}
    return {**ours, "difference": own["value"] - printed, "low": low, "high": high, "within_noise": within}


def _cells(record: Numbers) -> list[str]:
    source = f"{record['paper']}, {record['where']}".rstrip(", ")
    if record["step"] == record["step"]:  # not nan
        source += f", step {record['step']:.0f}"
    texts = [source, *(str(record[column]) or NONE for column in ("model", "training", "method", "measure", "unit"))]
    texts += [record["status"], f"{record['value']:.1f}" if record["unit"] == "%" else f"{record['value']:g}"]
    if "ours" not in record:
        return [*texts, NOT_RUN, NONE, NONE, NONE]
    spread = f"[{record['low']:+.1f}, {record['high']:+.1f}]"
    return [*texts, f"{record['ours']:.1f}", f"{record['difference']:+.1f}", spread, record["within_noise"]]


def conflict_table() -> Table:
    """Return one row per known conflict between a paper and its code, its versions, or itself, and our choice."""
    frame = conflicts()
    header = ["paper", "subject", "says", "where", "against it", "where", "here"]
    return Table(frame, header, frame.to_numpy().tolist(), left=len(header))
