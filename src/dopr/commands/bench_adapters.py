"""Rollouts a second of one-prompt runs with adapters that one engine samples for together, and one after another.

All are training jobs in this process, on one thread, with grader, ledger, checkpoints and tracking; policy, prompts and
rewards are those of bench-fleet. One after another, a run samples from merged weights, as it does by default. Every
run's ledger must be that of the run alone in such an engine, byte for byte, and its metrics to rounding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dopr.commands.bench_fleet import WARM, FleetError, Plan, check_methods, prepare, processor, rollouts
from dopr.commands.plan import read_config
from dopr.commands.replay import positive
from dopr.files import sha256
from dopr.recipe import Lora


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--together", type=positive, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--method", default="random_one", help="of the runs, which differ in their seed")
    parser.add_argument("--steps", type=positive, default=100, help="of a run")
    parser.add_argument("--rank", type=positive, default=8, help="of the adapters")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))


def run(args: argparse.Namespace) -> None:
    """Print the machine and the table.

    Raises:
        FleetError: the method takes more than one prompt a step or needs a profile, or runs disturbed each other.
    """
    config = read_config([args.config])
    check_methods(config, [args.method])
    lora = Lora(rank=args.rank, alpha=2 * args.rank)
    print(f"{processor()}, one thread, load {os.getloadavg()[0]:.1f} before; {args.steps} steps a run")
    print("\n| runs | one after another, rollouts/s | together, rollouts/s | ratio | same ledgers |")
    print("| ---: | ---: | ---: | ---: | --- |")
    for count in args.together:
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(config, (args.method,), args.steps, Path(folder))
            prepare(plan)
            measure(plan, WARM, "warm", [range(count)], lora, together=True)
            after = measure(plan, args.steps, "after", [[number] for number in range(count)], lora, together=False)
            together = measure(plan, args.steps, "together", [range(count)], lora, together=True)
            measure(plan, args.steps, "alone", [[number] for number in range(count)], lora, together=True)
            compare(plan, count)
            print(f"| {count} | {after:.0f} | {together:.0f} | {together / after:.2f} | yes |", flush=True)


def measure(plan: Plan, steps: int, fleet: str, shares: Sequence[Sequence[int]], lora: Lora, together: bool) -> float:
    """Rollouts a second of runs, a share of them after another; each share goes together."""
    from dopr.threads import use_threads
    from dopr.tracking import create_store
    from dopr.training_job import run_all

    folder = plan.folder / fleet
    create_store(folder / "mlflow.db", folder / "store.json", "fleet")
    use_threads(1)
    start = time.monotonic()
    for share in shares:
        run_all([plan.job(number, steps, folder, lora, together) for number in share])
    seconds = time.monotonic() - start
    return sum(rollouts(folder / plan.name(number)) for share in shares for number in share) / seconds


def compare(plan: Plan, count: int) -> None:
    """Every run has the ledger it has alone, and nearly its metrics.

    Raises:
        FleetError: one has not.
    """
    for number in range(count):
        alone, together = (plan.folder / fleet / plan.name(number) for fleet in ("alone", "together"))
        mine, theirs = (pd.read_csv(folder / "metrics.csv").to_numpy() for folder in (together, alone))
        same = sha256(alone / "ledger.parquet") == sha256(together / "ledger.parquet")
        if not same or not np.allclose(mine, theirs, rtol=1e-3, atol=1e-4):
            raise FleetError(f"{plan.name(number)} is not what it is alone: runs disturbed each other")
