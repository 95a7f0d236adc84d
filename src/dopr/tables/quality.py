r"""Table of the quality of completions beside their accuracy: by benchmark, and by category if questions have one.

maj@k is the share of questions whose most frequent answer is correct. All k samples of a run vote with the content of
their last \boxed{}, in the spelling of dopr.grading.tidy. Of answers with equally many votes, the first sampled counts.
Completions without a box do not vote, and a question without votes counts as wrong.
"""

from __future__ import annotations

import re
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
REST = tuple(share for share in SHARES if share != "unparsed")  # unparsed is beside the accuracy that it explains


def quality_table(
    results: Results, comparisons: Sequence[Comparison], chosen: Sequence[Chosen], reference: str
) -> Table:
    """Return one row per pool, method and benchmark or category: sampled completions at the reported checkpoints."""
    records, rows = [], []
    for comparison, checkpoints in zip(comparisons, chosen, strict=True):
        for method in ("base", *comparison.evaluations):
            evaluated = reference if method == "base" else method
            indices = np.zeros_like(checkpoints[evaluated]) if method == "base" else checkpoints[evaluated]
            frame = completions_at(results, comparison, evaluated, indices)
            for name, group in parts(frame):
                record = measures(group)
                records.append({"pool": comparison.pool, "method": method, "part": name, **record})
                shares = [percent(record[key]) for key in ("accuracy", "unparsed", "majority", *REST)]
                words = [f"{record[word]:.1f}" for word in REFLECTION]
                rows.append([comparison.pool, display_name(method), name, *shares, f"{record['tokens']:.0f}", *words])
    shares = [f"{name}, %" for name in ("avg@k", "unparsed", "maj@k", *REST)]
    header = ["pool", "method", "benchmark", *shares, "tokens"]
    return Table(pd.DataFrame(records), [*header, *(f"{word}, per 100" for word in REFLECTION)], rows, left=3)


def completions_at(results: Results, comparison: Comparison, method: str, checkpoints: IntArray) -> pd.DataFrame:
    """Return the sampled completions of every run at its checkpoint, an index `[runs]`, with the measured columns."""
    evaluation = comparison.evaluations[method]
    frame = pd.concat(
        [
            results.texts(comparison.pool, method, seed, int(evaluation.steps[checkpoint])).assign(seed=seed)
            for seed, checkpoint in zip(evaluation.seeds, checkpoints, strict=True)
        ],
        ignore_index=True,
    )
    boxes = {text: last_boxed(text) for text in frame["text"].unique()}
    votes = {text: None if box is None else squeezed(tidy(box)) for text, box in boxes.items()}
    counted = {word: frame["text"].str.lower().str.count(re.escape(word)) for word in REFLECTION}
    measured: pd.DataFrame = frame.assign(
        correct=frame["verdict"] == "correct",
        truncated=frame["finish"] == "length",
        boxed=[boxes[text] is not None for text in frame["text"]],
        vote=pd.Series([votes[text] for text in frame["text"]], dtype=object),
        **{verdict: frame["verdict"] == verdict for verdict in SHARES[2:]},
        **counted,
    )
    return measured


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each benchmark, followed by its categories, such as `math500: Algebra`, with its rows."""
    for benchmark, group in frame.groupby("benchmark"):
        yield str(benchmark), group
        for category, members in group[group["category"] != ""].groupby("category"):
            yield f"{benchmark}: {category}", members


def measures(group: pd.DataFrame) -> dict[str, Any]:
    """Return the means over questions and runs of a benchmark or category."""
    return {
        "accuracy": float(group["reward"].mean()),
        "majority": majority(group),
        **{share: float(group[share].mean()) for share in SHARES},
        "tokens": float(group["completion_tokens"].mean()),
        **{word: 100 * float(group[word].mean()) for word in REFLECTION},
    }


def majority(samples: pd.DataFrame) -> float:
    """Return the share of a run's questions whose most frequent answer, of equally frequent ones the first, is correct.

    Args:
        samples: Columns seed, prompt, vote (None without an answer) and correct.
    """
    by_vote = samples.dropna(subset="vote").groupby(["seed", "prompt", "vote"], sort=False)["correct"]
    votes = by_vote.agg(["size", "any"]).reset_index()
    winners = votes.loc[votes.groupby(["seed", "prompt"], sort=False)["size"].idxmax()]
    return float(winners["any"].sum() / samples.groupby(["seed", "prompt"]).ngroups)
