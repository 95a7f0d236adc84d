"""Repeat an experiment elsewhere: other data, starting policies and runs, and another instruction set of the CPU.

    python benchmarks/repeat.py --folder /tmp/repeats

Each repetition is a copy of the tracked files in a folder of its own, where Snakemake makes results/tables/credit.csv.
`seed-K` redraws everything: the questions, the pools, the starting policy (by a warm start) and the seeds of the runs.
`cpu-LEVEL` is the experiment itself with PyTorch, MKL and oneDNN held to fewer instructions of the processor: `default`
(SSE alone) rounds as another processor does.
A repetition that is finished is not run again. The first results are those of this folder.

The table has a row for each pool and cause: the savings to the target, here and in each repetition. A direction holds
if all are on the same side of 1, and a value holds if all lie within the interval that is printed here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dopr.errors import UserError
from dopr.files import write_text
from program import run_program

TABLE = "results/tables/credit.csv"
RUN_SEEDS = 5  # of each repetition
INSTRUCTIONS = {
    "default": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
NAMES = ["pool", "target", "cause"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--folder", type=Path, required=True, help="for the repetitions, one folder each")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="of data and starting policy")
    parser.add_argument("--cpu", nargs="*", choices=INSTRUCTIONS, default=["default"], help="instructions to keep")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="overlays of the experiment")
    parser.add_argument("--target", type=float, default=0.7, help="the accuracy to be reached")
    parser.add_argument("--output", type=Path, help="write the table here too, as CSV")


def overlay(seed: int) -> dict[str, object]:
    """Return the keys of the configuration that a repetition redraws; see the module."""
    runs = [RUN_SEEDS * seed + run for run in range(RUN_SEEDS)]
    return {"seeds": runs, "data": {"seed": seed}, "base": {"warm_start": {"seed": seed, "shipped": False}}}


def copy_project(folder: Path) -> None:
    """Copy the files that git tracks into a folder."""
    folder.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, folder / name)


def repeat(folder: Path, files: Sequence[Path], keys: dict[str, object], environment: dict[str, str]) -> None:
    """Run the experiment in a copy, unless it is finished there.

    Raises:
        UserError: It failed; its messages were printed.
    """
    if not (folder / TABLE).exists():
        if not folder.exists():
            copy_project(folder)
        write_text(folder / "repetition.json", json.dumps(keys))
        overlays = [str(path) for path in [*files, "repetition.json"]]
        command = ["snakemake", "--cores", "all", TABLE, "--configfile", *overlays]
        if subprocess.run(command, cwd=folder, env={**os.environ, **environment}).returncode:
            raise UserError(f"{folder}: the repetition failed")


def compare(here: Path, repetitions: Sequence[Path], target: float) -> pd.DataFrame:
    """Return one row per pool and cause: its saving here with the interval, in each repetition, and what holds."""
    tables = {folder.name: pd.read_csv(folder / TABLE).set_index(NAMES) for folder in repetitions}
    frame = pd.read_csv(here / TABLE).set_index(NAMES)[["saving", "saving_low", "saving_high"]]
    for name, table in tables.items():
        frame[name] = table["saving"]
    values = frame[["saving", *tables]]
    frame["direction_holds"] = (values > 1).all(axis=1) | (values < 1).all(axis=1)
    within = values.ge(frame["saving_low"], axis=0) & values.le(frame["saving_high"], axis=0)
    frame["value_holds"] = within.all(axis=1)
    return frame.reset_index().query("target == @target").drop(columns="target")


def run(args: argparse.Namespace) -> None:
    """Run what is missing, and print the table.

    Raises:
        UserError: This folder has no results, or a repetition failed.
    """
    if not Path(TABLE).exists():
        raise UserError(f"{TABLE}: no such file; run the experiment here first: snakemake --cores all")
    for seed in args.seeds:
        repeat(args.folder / f"seed-{seed}", args.configfile, overlay(seed), {})
    for level in args.cpu:
        repeat(args.folder / f"cpu-{level}", args.configfile, {}, INSTRUCTIONS[level])
    names = [*(f"seed-{seed}" for seed in args.seeds), *(f"cpu-{level}" for level in args.cpu)]
    table = compare(Path(), [args.folder / name for name in names], args.target)
    print(table.to_string(index=False, float_format="%.2f"))
    if args.output:
        write_text(args.output, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
