"""Rank the prompts of a recorded history by historical variance, and show how the ranking forms.

HISTORY is a profile's history.json or a ledger.parquet; without it, the public record of 1-shot RLVR is taken, from the
folder that --data or DOPR_DATA names, or else from the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dopr.analysis.accuracy_history import read_history
from dopr.data.public import public_file
from dopr.errors import UserError
from dopr.figures.ranking import collect, draw
from dopr.figures.style import save
from dopr.selection.parts.historical_variance import rank

PUBLIC = "acc_step_500.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("history", nargs="?", type=Path, help="the recorded history")
    parser.add_argument("--data", type=Path, help="a folder with the public files")
    parser.add_argument("--top", type=int, default=15, help="how many prompts to print")
    parser.add_argument("--prompts", nargs="+", help="prompts to follow in the figure (default: ranks 1, 2 and 13)")
    parser.add_argument("--output", type=Path, help="write the figure, PDF, PNG and CSV, to this path without suffix")


def run(args: argparse.Namespace) -> None:
    """Print the ranking, and draw how it forms.

    Raises:
        UserError: the history cannot be read or fetched, or a prompt to follow is not in it.
    """
    path = args.history or public_file(PUBLIC, args.data)
    history = read_history(path)
    ranking = rank(history)
    print("| rank | prompt | variance | mean | visits |\n|---:|---|---:|---:|---:|")
    for row in ranking[: args.top]:
        print(f"| {row.rank} | {row.prompt} | {row.variance:.6f} | {row.mean:.3f} | {row.visits} |")
    print(f"\n{len(ranking)} prompts; {sum(row.variance == 0 for row in ranking)} of them with no variance at all.")
    if args.output:
        followed = args.prompts or [ranking[i].prompt for i in (0, 1, 12) if i < len(ranking)]
        unknown = [prompt for prompt in followed if not history.get(prompt)]
        if unknown:
            raise UserError(f"--prompts: {unknown[0]!r} has no visits in {path}; it has {', '.join(list(history)[:5])}")
        frame = collect(history, followed)
        save(draw(frame), frame, args.output)
