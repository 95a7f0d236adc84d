"""Draw a figure of an experiment, or of what papers print, from results on disk."""

import argparse
from pathlib import Path

import pandas as pd

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.style import save
from dopr.workflow.rule_params import RuleParams

PUBLISHED = "published/"


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", help="such as training, accuracy_vs_rollouts, selection_POOL, published/accuracy")
    parser.add_argument("--config", type=Path, help="resolved configuration; not for what papers print")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--ours", type=Path, help="our numbers beside a paper's, a file of scripts/own_numbers.py")
    parser.add_argument("--output", type=Path, required=True, help="path of the figure, without suffix")
    args = parser.parse_args()
    if args.figure.startswith(PUBLISHED):
        from dopr.figures.published import collect, draw

        frame = collect(
            args.figure.removeprefix(PUBLISHED), pd.read_csv(args.ours, keep_default_na=False) if args.ours else None
        )
        figure = draw(frame)
    elif args.config:
        from dopr.figures.catalogue import make_figure

        figure, frame = make_figure(args.figure, Results(args.results), RuleParams.load(args.config).config)
    else:
        parser.error("--config is missing: `snakemake` writes one to results/configs")
    save(figure, frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
