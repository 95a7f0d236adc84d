"""Write the tables of accuracies, savings, differences and completions, and the scores behind every curve."""

from dopr.analysis.checkpoint_selection import at_reported, reported, validations
from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.files import write_text
from dopr.options import add_checkpoint, named_list, parse_savings, savings_parser
from dopr.tables.aggregates import aggregate_table
from dopr.tables.benchmarks import benchmark_table, scores
from dopr.tables.checkpoints import checkpoint_table
from dopr.tables.credit import credit_table
from dopr.tables.main import main_table
from dopr.tables.quality import quality_table
from dopr.tables.significance import significance_table
from dopr.tables.targets import target_table
from dopr.tables.typeset import csv_text


def main() -> None:
    """Write each table as .csv, .md, .tex and .html, and scores.csv."""
    parser = savings_parser(__doc__, "folder to write to")
    parser.add_argument("--groups", nargs="+", type=named_list, required=True, help="GROUP=BENCHMARK,BENCHMARK,...")
    parser.add_argument("--pass-at", nargs="+", type=int, default=[1], help="k of pass@k")
    add_checkpoint(parser)
    parser.add_argument("--history-methods", nargs="*", default=[], help="methods whose selector read the profile")
    args = parse_savings(parser)
    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    validated = validations(args.results, args.checkpoint, comparisons, args.bootstrap)
    chosen = reported(comparisons, validated)
    final = at_reported(comparisons, chosen)
    profiled = {pool: len(results.profile_ledger(pool)) if args.history_methods else 0 for pool in args.pools}
    history = set(args.history_methods)
    tables = {
        "main": main_table(comparisons, final, dict(args.groups), args.targets, args.reference),
        "targets": target_table(comparisons, args.targets, args.reference, history, profiled),
        "credit": credit_table(comparisons, args.targets, history, profiled),
        "benchmarks": benchmark_table(comparisons, final, args.pass_at, args.reference),
        "significance": significance_table(final, args.reference),
        "aggregates": aggregate_table(final, args.reference, args.bootstrap),
        "checkpoints": checkpoint_table(comparisons, validated),
        "quality": quality_table(results, comparisons, chosen, args.reference),
    }
    for name, table in tables.items():
        table.write(args.output / name)
    write_text(args.output / "scores.csv", csv_text(scores(comparisons, args.pass_at)))


if __name__ == "__main__":
    exit_with_one_line(main)
