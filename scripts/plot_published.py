"""Draw a figure of numbers that papers print, with our own beside them where there are any."""

import argparse
from pathlib import Path

import pandas as pd

from dopr.errors import exit_with_one_line
from dopr.figures.published import FIGURES, collect, draw
from dopr.figures.style import save


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", choices=FIGURES, help="which one")
    parser.add_argument("--ours", type=Path, help="our numbers, a file of scripts/own_numbers.py")
    parser.add_argument("--output", type=Path, required=True, help="path of the figure, without suffix")
    args = parser.parse_args()
    frame = collect(args.figure, pd.read_csv(args.ours, keep_default_na=False) if args.ours else None)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
