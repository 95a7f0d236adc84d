r"""What completions look like, beside how many are right: by benchmark, and by category where questions have one.

maj@k is the share of questions whose most frequent answer is correct: the k samples of a run vote by their last
\boxed{}, in one spelling (dopr.grading.tidy); of answers with as many votes the first drawn counts; completions without
a box do not vote, and a question without votes is lost. It is the vote of all k samples, not the mean over fewer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dopr.analysis.checkpoint_selection import Chosen
from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.reflection import REFLECTION
from dopr.analysis.results import Results
from dopr.analysis.statistics import IntArray
from dopr.grading.answers import last_boxed
from dopr.grading.tidy import squeezed, tidy
from dopr.tables.cells import percent
from dopr.tables.typeset import Table

SHARES = ("truncated", "boxed", "unparsed", "timeout", "error")


def quality_table(
    results: Results, comparisons: Sequence[Comparison], chosen: Sequence[Chosen], reference: str
) -> Table:
    """One row a pool, method and benchmark or category: sampled completions of the checkpoints reported, all seeds."""
    records, rows = [], []
    for comparison, places in zip(comparisons, chosen, strict=True):
        for method in ("base", *comparison.evaluations):
            shown = reference if method == "base" else method
            at = np.zeros_like(places[shown]) if method == "base" else places[shown]
            frame = completions_at(results, comparison, shown, at)
            for name, group in parts(frame):
                record = measures(group)
                records.append({"pool": comparison.pool, "method": method, "part": name, **record})
                shares = [percent(record[key]) for key in ("accuracy", "majority", *SHARES)]
                words = [f"{record[word]:.1f}" for word in REFLECTION]
                rows.append([comparison.pool, display_name(method), name, *shares, f"{record['tokens']:.0f}", *words])
    header = ["pool", "method", "benchmark", "avg@k, %", "maj@k, %", *(f"{share}, %" for share in SHARES), "tokens"]
    return Table(pd.DataFrame(records), [*header, *(f"{word}, per 100" for word in REFLECTION)], rows, left=3)


def completions_at(results: Results, comparison: Comparison, method: str, places: IntArray) -> pd.DataFrame:
    """Sampled completions of every run at the place of its checkpoint, with what is measured."""
    evaluation = comparison.evaluations[method]
    frame = pd.concat(
        [
            results.texts(comparison.pool, method, seed, int(evaluation.steps[place])).assign(seed=seed)
            for seed, place in zip(evaluation.seeds, places, strict=True)
        ],
        ignore_index=True,
    )
    boxes = [last_boxed(text) for text in frame["text"]]
    counted = {word: frame["text"].str.lower().str.count(re.escape(word)) for word in REFLECTION}
    measured: pd.DataFrame = frame.assign(
        correct=frame["verdict"] == "correct",
        truncated=frame["finish"] == "length",
        boxed=[box is not None for box in boxes],
        vote=pd.Series([None if box is None else squeezed(tidy(box)) for box in boxes], dtype=object),
        **{verdict: frame["verdict"] == verdict for verdict in SHARES[2:]},
        **counted,
    )
    return measured


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The benchmarks, each followed by its categories, `math500: Algebra`."""
    for benchmark, group in frame.groupby("benchmark"):
        yield str(benchmark), group
        for category, members in group[group["category"] != ""].groupby("category"):
            yield f"{benchmark}: {category}", members


def measures(group: pd.DataFrame) -> dict[str, Any]:
    """Means over a part's questions and runs."""
    return {
        "accuracy": float(group["reward"].mean()),
        "majority": float(np.mean([majority(samples) for _, samples in group.groupby(["seed", "prompt"])])),
        **{share: float(group[share].mean()) for share in SHARES},
        "tokens": float(group["completion_tokens"].mean()),
        **{word: 100 * float(group[word].mean()) for word in REFLECTION},
    }


def majority(samples: pd.DataFrame) -> bool:
    """Whether the answer that most samples of a question give is correct."""
    votes = Counter(samples["vote"].dropna())
    if not votes:
        return False
    winner = votes.most_common(1)[0][0]  # in the order of drawing, among equals
    return bool(samples["correct"][samples["vote"] == winner].any())
