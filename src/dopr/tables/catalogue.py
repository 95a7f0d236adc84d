"""Catalogue of tables: the sets written together from an experiment's configuration and results on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

from dopr.analysis.checkpoint_selection import at_reported, reported, validations
from dopr.analysis.comparison import compare_panels, compare_pools
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.config.schema import Config
from dopr.files import write_text
from dopr.grading.rules import EXTRACTION
from dopr.runtime.provenance import mixed_processors
from dopr.selection.selector import uses_history
from dopr.tables.aggregates import aggregate_table
from dopr.tables.benchmarks import benchmark_table, scores
from dopr.tables.bounds import bounds_table
from dopr.tables.checkpoints import checkpoint_table
from dopr.tables.claims import claims_table
from dopr.tables.credit import credit_table
from dopr.tables.main import main_table
from dopr.tables.quality import quality_table
from dopr.tables.ratio import cost_table, final_accuracy_table, ratio_table
from dopr.tables.significance import significance_table
from dopr.tables.targets import target_table
from dopr.tables.typeset import Table, csv_text


def comparison_tables(results: Results, config: Config, folder: Path) -> None:
    """Write the tables of the comparison, and scores.csv."""
    comparisons, reference, targets = compare_pools(results, config), config.reference, config.evaluate.targets
    replicates = config.evaluate.bootstrap
    validated = validations(results.root, config.evaluate.checkpoint, comparisons, replicates)
    chosen = reported(comparisons, validated)
    final = at_reported(comparisons, chosen)
    extraction = config.verify.extraction or EXTRACTION[config.verify.profile]
    history = {method for method in config.methods if reads_profile(config, method)}
    profiled = {pool: len(results.profile_ledger(pool)) if history else 0 for pool in config.pools}
    tables = {
        "main": main_table(
            comparisons, final, config.data.benchmarks, targets, reference, extraction, mixed_runs(results, config)
        ),
        "targets": target_table(comparisons, targets, reference, history, profiled),
        "credit": credit_table(comparisons, targets, history, profiled),
        "benchmarks": benchmark_table(comparisons, final, config.evaluate.pass_at, reference),
        "significance": significance_table(final, reference),
        "aggregates": aggregate_table(final, reference, replicates),
        "checkpoints": checkpoint_table(comparisons, validated),
        "quality": quality_table(results, comparisons, chosen, reference),
    }
    write_all(tables, folder)
    write_text(folder / "scores.csv", csv_text(scores(comparisons, config.evaluate.pass_at)))


def mixed_runs(results: Results, config: Config) -> list[str]:
    """Return a note if the runs of the comparison are from different processors."""
    runs = product(config.pools, config.methods, map(str, config.seeds))
    warning = mixed_processors(results.root.joinpath("train", *run) for run in runs)
    return [f"Warning: {warning}."] if warning else []


def bound_tables(results: Results, config: Config, folder: Path) -> None:
    """Write the table of bounds."""
    bounds = {unit: [find_bound(name) for name in names] for unit, names in config.complexity.bounds}
    table = bounds_table(results, compare_pools(results, config), bounds, 1 - config.complexity.confidence)
    table.write(folder / "bounds")


def claim_tables(results: Results, config: Config, folder: Path) -> None:
    """Write the table of the papers' claimed savings and those measured here."""
    table = claims_table(results, compare_pools(results, config), config.evaluate.targets, config.reference)
    table.write(folder / "claims_seconds")


def ratio_tables(results: Results, config: Config, folder: Path) -> None:
    """Write the tables of the comparison with and without reuse and selection."""
    comparisons, targets, reference = compare_panels(results, config), config.evaluate.targets, config.reference
    controls = {method: config.control_of(method) for method in config.methods}
    tables = {
        "ratio": ratio_table(comparisons, targets, reference, controls),
        "ratio_ceilings": final_accuracy_table(comparisons, reference),
        "ratio_credit": credit_table(comparisons, targets, [], {}),
        "ratio_seconds": cost_table(results, comparisons, targets),
    }
    write_all(tables, folder)


TABLES: Mapping[str, Callable[[Results, Config, Path], None]] = {
    "comparison": comparison_tables,
    "bounds": bound_tables,
    "claims": claim_tables,
    "ratio": ratio_tables,
}


def write_all(tables: Mapping[str, Table], folder: Path) -> None:
    """Write each table to the folder under its name."""
    for name, table in tables.items():
        table.write(folder / name)


def reads_profile(config: Config, method: str) -> bool:
    """Return whether a method's selector reads the history, so that the profile's rollouts count for it."""
    recipe = config.recipes[method]
    return uses_history(recipe.selector, recipe.options)
