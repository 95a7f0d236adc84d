"""The credit table: savings in rollouts to a target, credited to the one cause that differs between two methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.rollouts_to_target import rollouts_to_target
from dopr.analysis.saving_ratio import SavingRatio, saving_ratio
from dopr.tables.cells import saving_record, saving_text
from dopr.tables.typeset import Table

# The cause, the method without it, the method with it.
CAUSES = (
    ("small batches", "grpo", "random_one"),
    ("smaller batches alone", "grpo", "grpo_small"),
    ("selection", "random_one", "dopr"),
    ("selection from a profile", "random_one", "dopr_profile"),
    ("selection by each prompt's own visits", "random_one", "dopr_cold"),
    ("selection by similar prompts (text)", "random_one", "dopr_text"),
    ("selection by similar prompts (hidden states)", "random_one", "dopr_hidden"),
    ("reuse, one prompt a step", "random_one", "random_one_reuse"),
    ("reuse, GRPO", "grpo", "grpo_reuse"),
    ("selection, under reuse", "random_one_reuse", "dopr_reuse"),
    ("selection by each prompt's own visits, under reuse", "random_one_reuse", "dopr_cold_reuse"),
    ("selection by similar prompts (text), under reuse", "random_one_reuse", "dopr_text_reuse"),
    ("selection by similar prompts (hidden states), under reuse", "random_one_reuse", "dopr_hidden_reuse"),
    ("selection by the generator's labels (bound), under reuse", "random_one_reuse", "dopr_label_reuse"),
    ("rejection sampling, under reuse", "random_one_reuse", "rft_reuse"),
    ("selection by similar prompts (text), with rejection sampling", "rft_reuse", "dopr_text_rft_reuse"),
    ("all together", "grpo", "dopr_reuse"),
    ("all together, similar prompts (text)", "grpo", "dopr_text_reuse"),
    ("all together, similar prompts (hidden states)", "grpo", "dopr_hidden_reuse"),
    ("all together, with rejection sampling", "grpo", "dopr_text_rft_reuse"),
    ("all together, against GRPO with reuse", "grpo_reuse", "dopr_reuse"),
    ("all together, similar prompts (text), against GRPO with reuse", "grpo_reuse", "dopr_text_reuse"),
)


def credit_table(
    comparisons: Sequence[Comparison],
    targets: Sequence[float],
    history_methods: Collection[str],
    profile_rollouts: Mapping[str, int],
) -> Table:
    """Return one row per pool, target and cause; a cause is left out if one of its methods was not run.

    A cause is measured by the saving of the method with it over the method without it (dopr.analysis.saving_ratio).
    The last columns count the profile's rollouts for the methods in `history_methods`.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            reached = {
                method: rollouts_to_target(comparison.curve(method), target) for method in comparison.evaluations
            }
            after_profile = {
                method: each.after(profile_rollouts[comparison.pool] if method in history_methods else 0)
                for method, each in reached.items()
            }
            for cause, without, having in CAUSES:
                if without in reached and having in reached:
                    savings = [saving_ratio(at[without], at[having]) for at in (reached, after_profile)]
                    record, texts = _cause_row(cause, without, having, *savings)
                    records.append({"pool": comparison.pool, "target": target, **record})
                    rows.append([comparison.pool, f"{target:g}", *texts])
    header = ["pool", "target", "cause", "methods", "verdict", "saving", "saving, with profile"]
    return Table(pd.DataFrame(records), header, rows, left=5)


def _cause_row(
    cause: str, without: str, having: str, saving: SavingRatio, with_profile: SavingRatio
) -> tuple[dict[str, Any], list[str]]:
    """Return the numbers of a cause, and the cells that show them."""
    record = {
        **{"cause": cause, "from": without, "to": having},
        **saving_record("saving", saving),
        "verdict": saving.verdict,
        **saving_record("saving_with_profile", with_profile),
        "verdict_with_profile": with_profile.verdict,
    }
    pair = f"{display_name(without)} → {display_name(having)}"
    return record, [cause, pair, saving.verdict, saving_text(saving), saving_text(with_profile)]
