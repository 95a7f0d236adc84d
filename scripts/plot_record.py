"""Draw how the ranking by historical variance forms in the public record of 1-shot RLVR."""

import argparse
from pathlib import Path

from dopr.data.public import LISTED, checked
from dopr.errors import exit_with_one_line
from dopr.figures.ranking import collect, draw
from dopr.figures.style import save
from dopr.files import read_json
from dopr.profiling.accuracy_history import read_history
from dopr.selection.parts.historical_variance import rank


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="acc_step_500.json")
    parser.add_argument("--output", type=Path, required=True, help="path of the figure, without suffix")
    args = parser.parse_args()
    entry = read_json(LISTED)[args.record.name]
    history = read_history(checked(args.record, entry["sha256"], entry["url"]))
    ranking = rank(history)
    frame = collect(history, [ranking[place].prompt for place in (0, 1, 12)])
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
