"""Repeat an experiment elsewhere: other data, starting policies and runs, and another instruction set of the CPU.

    python benchmarks/repeat.py --folder /tmp/repeats

Each repetition is a copy of the tracked files in a folder of its own, where Snakemake makes results/tables/credit.csv.
`seed-K` redraws everything: the questions, the pools, the starting policy (by a warm start) and the seeds of the runs.
`cpu-LEVEL` is the experiment itself with PyTorch, MKL and oneDNN held to fewer instructions of the processor: `default`
(SSE alone) rounds as another processor does.
A repetition that is finished is not run again. The first results are those of this folder.

The table has a row for each pool and cause: the savings to the target, here and in each repetition. A direction holds
if all are on the same side of 1, and a value holds if all lie within the interval that is printed here. Where runs do
not reach the target, a saving is a bound, such as >1.61, or not known at all; what that leaves open is `unknown`.
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

import numpy as np
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
    frame = pd.read_csv(here / TABLE).set_index(NAMES)
    found = {"here": frame, **{folder.name: pd.read_csv(folder / TABLE).set_index(NAMES) for folder in repetitions}}
    ranges = {name: savings(table).reindex(frame.index) for name, table in found.items()}
    above, below = (pd.DataFrame({name: each[side] for name, each in ranges.items()}) for side in ("least", "most"))
    rows = pd.DataFrame({name: each["text"] for name, each in ranges.items()}, frame.index)
    low, high = frame["saving_low"], frame["saving_high"]
    rows.insert(1, "interval", [f"[{ends[0]:.2f}, {ends[1]:.2f}]" for ends in zip(low, high, strict=True)])
    up, down = above.gt(1), below.lt(1)
    rows["direction_holds"] = verdicts(up.all(axis=1) | down.all(axis=1), up.any(axis=1) & down.any(axis=1))
    within = above.ge(low, axis=0) & below.le(high, axis=0)
    outside = above.gt(high, axis=0) | below.lt(low, axis=0)
    rows["value_holds"] = verdicts(within.all(axis=1), outside.any(axis=1))
    return rows.reset_index().query("target == @target").drop(columns="target")


def savings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the least and the most that each saving can be, and its text; 0 and infinity where nothing is known."""
    value, bound = table["saving"], table["saving_bound"].astype(object).fillna("")
    least = value.where(bound != "<", 0.0).fillna(0.0)
    most = value.where(bound != ">", np.inf).fillna(np.inf)
    text = [f"{sign}{number:.2f}" if number == number else "–" for sign, number in zip(bound, value, strict=True)]
    return pd.DataFrame({"least": least, "most": most, "text": text}, table.index)


def verdicts(holds: pd.Series, fails: pd.Series) -> list[str]:
    """Return `yes` where something holds, `no` where it fails, and `unknown` elsewhere."""
    return ["yes" if sure else "no" if not_so else "unknown" for sure, not_so in zip(holds, fails, strict=True)]


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
    print(table.to_string(index=False))
    if args.output:
        write_text(args.output, table.to_csv(index=False, lineterminator="\n"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
