"""The main table: accuracy at the reported checkpoint, and the rollouts to each target of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.rollouts_to_target import RolloutsToTarget, rollouts_to_target
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import even_weights, interval
from dopr.tables.cells import NONE, percent, percent_interval, rollouts_text, seeds_text
from dopr.tables.typeset import Table

Groups = Mapping[str, Sequence[str]]
MOST = 0.5 + 1e-9  # a share above this is more than one half; weights add up to 1 with a rounding error


def main_table(
    comparisons: Sequence[Comparison],
    final: Sequence[Comparison],
    groups: Groups,
    targets: Sequence[float],
    reference: str,
    extraction: str,
    warnings: Sequence[str] = (),
) -> Table:
    """Return one row per method, the base policy first: accuracies and rollouts to each target (seeds that reached it).

    The base policy's row is the reference method's first checkpoint. Intervals are those of dopr.analysis.bootstrap. A
    note names the rows without an answer in most completions, whose accuracy is low whatever the policy knows.

    Args:
        final: the comparisons at the reported checkpoint only (dopr.analysis.checkpoint_selection).
        groups: maps the name of each group to its benchmarks; accuracies are sampled unless named greedy.
        extraction: where the grader looked for answers (dopr.config.grading).
        warnings: more notes.
    """
    records, rows = [], []
    for comparison, reported in zip(comparisons, final, strict=True):
        base = _accuracies(comparison, reference, 0, groups)
        records.append({"pool": comparison.pool, "method": "base", **base})
        rows.append([*_texts(records[-1], groups), *[NONE for _ in targets]])
        for method in comparison.evaluations:
            reached = [rollouts_to_target(comparison.curve(method), target) for target in targets]
            accuracies = _accuracies(reported, method, -1, groups)
            record = {"pool": comparison.pool, "method": method, **accuracies}
            records.append(record | _reached(reached))
            rows.append([*_texts(record, groups), *[f"{rollouts_text(each)} ({seeds_text(each)})" for each in reached]])
    header = ["pool", "method", "rollouts", *groups, "all", "95 % interval", "greedy"]
    unread = [record for record in records if record["unparsed"] > MOST]
    notes = [*([unread_note(unread, extraction)] if unread else []), *warnings]
    return Table(pd.DataFrame(records), [*header, *(f"to {target:g}" for target in targets)], rows, 2, notes)


def unread_note(records: Sequence[Mapping[str, Any]], extraction: str) -> str:
    """Return the note on rows without an answer in most completions."""
    named = [f"{each['pool']}, {display_name(each['method'])} ({percent(each['unparsed'])} %)" for each in records]
    remedy = "look at some" if extraction == "any" else "verify.extraction: any reads others too"
    return (
        f"Completions without an answer where verify.extraction: {extraction} looks for one, so that accuracy does not "
        f"show what the policy knows: {'; '.join(named)}; {remedy} (docs/grading.md)."
    )


def _accuracies(comparison: Comparison, method: str, checkpoint: int, groups: Groups) -> dict[str, Any]:
    curve = comparison.curve(method)
    low, high = interval(curve.replicates[:, checkpoint])
    return {
        "seeds": len(curve.by_seed),
        "rollouts": int(curve.rollouts[checkpoint]),
        **{name: comparison.curve(method, members).mean[checkpoint] for name, members in groups.items()},
        "all": curve.mean[checkpoint],
        "all_low": float(low),
        "all_high": float(high),
        "greedy": comparison.curve(method, greedy=True).mean[checkpoint],
        "unparsed": _unparsed(comparison.evaluations[method], checkpoint),
    }


def _unparsed(evaluation: Evaluation, checkpoint: int) -> float:
    """Return the share of sampled completions without an answer, the mean over benchmarks and seeds."""
    return float((evaluation.faults["unparsed"][:, checkpoint] @ even_weights(evaluation.benchmark)).mean())


def _texts(record: dict[str, Any], groups: Groups) -> list[str]:
    accuracies = [percent(record[name]) for name in (*groups, "all")]
    spread = percent_interval(record["all_low"], record["all_high"])
    names = [record["pool"], display_name(record["method"]), str(record["rollouts"])]
    return [*names, *accuracies, spread, percent(record["greedy"])]


def _reached(reached: Sequence[RolloutsToTarget]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for each in reached:
        numbers[f"rollouts_to_{each.target:g}"] = each.rollouts
        numbers[f"seeds_to_{each.target:g}"] = each.seeds_reached
    return numbers
