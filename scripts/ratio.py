"""Compare methods with reuse off and on and selection off and on: tables, a figure, and what made each gain."""

import argparse
from pathlib import Path

from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.ratio import collect, draw
from dopr.figures.style import save
from dopr.options import named, named_list
from dopr.tables.credit import credit_table
from dopr.tables.ratio import ceiling_table, cost_table, ratio_table


def main() -> None:
    """Write ratio, ratio_ceilings, ratio_credit and ratio_seconds as tables, and the figure ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--panels", nargs="+", type=named_list, required=True, help="NAME=POOL,POOL,... shown as one")
    parser.add_argument("--methods", nargs="+", required=True, help="methods, in the order to show them")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="seeds of the runs")
    parser.add_argument("--reference", required=True, help="method that savings are measured against")
    parser.add_argument("--controls", nargs="+", type=named, required=True, help="METHOD=the same with random prompts")
    parser.add_argument("--drawn", nargs="+", required=True, help="methods of the figure")
    parser.add_argument("--targets", nargs="+", type=float, required=True, help="accuracies, from 0 to 1")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    comparisons = [
        compare(results, name.replace("_", " "), args.methods, args.seeds, args.bootstrap, pools)
        for name, pools in args.panels
    ]
    tables, figures = args.results / "tables", args.results / "figures"
    ratio_table(comparisons, args.targets, args.reference, dict(args.controls)).write(tables / "ratio")
    ceiling_table(comparisons, args.reference).write(tables / "ratio_ceilings")
    credit_table(comparisons, args.targets, [], {}).write(tables / "ratio_credit")
    cost_table(results, comparisons, args.targets).write(tables / "ratio_seconds")
    drawn = [comparison.only(args.drawn) for comparison in comparisons]
    frame = collect(results, drawn, args.reference)
    save(draw(frame), frame, figures / "ratio")


if __name__ == "__main__":
    exit_with_one_line(main)
