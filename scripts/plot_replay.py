"""Replay a pool's recorded profile with every selector, and draw how many of their groups carry signal."""

import argparse
from pathlib import Path

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.replay import collect, draw
from dopr.figures.style import save


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--pool", required=True, help="prompt pool")
    parser.add_argument("--group-size", type=int, required=True, help="rollouts of a prompt")
    parser.add_argument("--steps", type=int, default=256, help="steps that the recorded run is laid over")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--output", type=Path, required=True, help="path of the figure, without suffix")
    args = parser.parse_args()
    frame = collect(Results(args.results), args.pool, args.group_size, args.steps, args.seeds)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
