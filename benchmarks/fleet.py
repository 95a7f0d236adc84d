"""Rollouts a second of several one-prompt runs at once, against the same runs one after another, on this machine.

Each run is a training job in a process of its own, as the pipeline starts it, with grader, ledger, checkpoints and
tracking; one thread each. The policy has the embedded one's shape and random weights, and rewards are drawn at random,
so that most steps make an update. Processes start, and train a little, before the clock does. Every run's ledger and
metrics have to be those of the same run alone, byte for byte.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from dopr.commands.replay import positive
from dopr.config.recipe import Reward
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.files import sha256, write_prompts
from dopr.workflow.preflight import read_config
from dopr.workflow.rule_params import RuleParams
from program import run_program

if TYPE_CHECKING:
    from dopr.training.job import TrainingJob

WARM = 8  # steps before the clock starts
SAME = ("ledger.parquet", "metrics.csv")  # what must not depend on who runs beside


class FleetError(UserError):
    """The benchmark cannot be run, or runs disturbed each other."""


@dataclass(frozen=True)
class Plan:
    """What every run needs: the configuration, the methods in turn, steps, and the folder with policy and prompts."""

    config: Config
    methods: Sequence[str]
    steps: int
    folder: Path

    def name(self, number: int) -> str:
        """Return METHOD/SEED of a run."""
        return f"{self.methods[number % len(self.methods)]}/{number // len(self.methods)}"

    def train(self, number: int, steps: int, fleet: Path) -> None:
        """Train one run from beginning to end."""
        from dopr.training.job import run_all

        run_all([self.job(number, steps, fleet)])

    def job(self, number: int, steps: int, fleet: Path) -> TrainingJob:
        """Make the job of a run in the folder of its fleet, which has a tracking store."""
        from dopr.training.job import TrainingJob

        method, seed = self.name(number).split("/")
        params = RuleParams(self.config).train(method)
        recipe = params.recipe.model_copy(update={"steps": steps, "reward": Reward(kind="random")})
        return TrainingJob(
            name=self.name(number),
            phase="train",
            seed=int(seed),
            params=params.model_copy(update={"recipe": recipe, "snapshot_steps": (steps,)}),
            code={},
            on_code_change="restart",
            pool=self.folder / "pool.jsonl",
            base=self.folder / "base",
            history=None,
            state=fleet / "state" / self.name(number),
            tracking=fleet / "store.json",
            output=fleet / self.name(number),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--at-once", type=positive, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--methods", nargs="+", default=["random_one", "dopr_cold"], help="of the runs, in turn")
    parser.add_argument("--steps", type=positive, default=200, help="of a run")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))


def run(args: argparse.Namespace) -> None:
    """Print the machine and the table.

    Raises:
        FleetError: a method takes more than one prompt a step or needs a profile, or runs disturbed each other.
    """
    config = read_config([args.config])
    check_methods(config, args.methods)
    print(f"{processor()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before; {args.steps} steps a run")
    print("\n| runs | one after another, rollouts/s | at once, rollouts/s | ratio | same bytes |")
    print("| ---: | ---: | ---: | ---: | --- |")
    for count in args.at_once:
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(config, args.methods, args.steps, Path(folder))
            prepare(plan)
            alone = measure(plan, plan.folder / "alone", [range(count)])
            together = measure(plan, plan.folder / "together", [[number] for number in range(count)])
            compare(plan, count)
            print(f"| {count} | {alone:.0f} | {together:.0f} | {together / alone:.2f} | yes |", flush=True)


def check_methods(config: Config, methods: Sequence[str]) -> None:
    """Check that this benchmark can measure the methods.

    Raises:
        FleetError: a method takes more than one prompt a step or needs a profile.
    """
    jobs = RuleParams(config)
    for method in methods:
        if jobs.recipe(method).prompts_per_step > 1 or jobs.needs_history(method):
            raise FleetError(f"--methods: {method} takes several prompts a step or needs a profile; name another")


def processor() -> str:
    """Return the name of the processor, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


def prepare(plan: Plan) -> None:
    """Write the policy and the prompts of the runs."""
    from dopr.data.arithmetic import vocabulary
    from dopr.data.splits import prompt_pool
    from dopr.data.tokenizer import build_tokenizer
    from dopr.training.toy_policy import create

    create(plan.config.base.warm_start, build_tokenizer(vocabulary()), plan.folder / "base")
    name, pool = next(iter(plan.config.data.pools.items()))
    write_prompts(plan.folder / "pool.jsonl", prompt_pool(name, pool, plan.config.data.seed, set()))


def measure(plan: Plan, fleet: Path, shares: Sequence[Sequence[int]]) -> float:
    """Return the rollouts per second of some runs, from the start of the first to the end of the last.

    Each share of the runs has a process of its own.

    Raises:
        FleetError: a process failed.
    """
    from dopr.runtime.tracking_store import create_store

    for folder in (fleet, fleet / "warm"):
        create_store(folder / "mlflow.db", folder / "store.json")
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(len(shares)), context.Queue()
    processes = [context.Process(target=work, args=(plan, fleet, share, barrier, times)) for share in shares]
    for process in processes:
        process.start()
    wait_for(processes)
    spans = [times.get() for _ in shares]
    seconds: float = max(end for _, end in spans) - min(start for start, _ in spans)
    return sum(rollouts(fleet / plan.name(number)) for share in shares for number in share) / seconds


def work(plan: Plan, fleet: Path, share: Sequence[int], barrier: Barrier, times: Queue[tuple[float, float]]) -> None:
    """Warm up, wait for the other processes, and train a share of the runs."""
    from dopr.runtime.threads import use_threads

    use_threads(1)
    plan.train(share[0], WARM, fleet / "warm")
    barrier.wait()
    start = time.monotonic()
    for number in share:
        plan.train(number, plan.steps, fleet)
    times.put((start, time.monotonic()))


def wait_for(processes: Sequence[BaseProcess]) -> None:
    """Wait until all processes have ended.

    Raises:
        FleetError: one failed; the others, which may be waiting for it, are ended.
    """
    running: dict[object, BaseProcess] = {process.sentinel: process for process in processes}
    while running:
        for ended in wait([process.sentinel for process in running.values()]):
            process = running.pop(ended)
            process.join()
            if process.exitcode:
                for other in running.values():
                    other.terminate()
                raise FleetError(f"a run failed with exit code {process.exitcode}; its message is above")


def rollouts(folder: Path) -> int:
    """Return the number of rollouts in the ledger of a run."""
    count: int = pq.read_metadata(folder / "ledger.parquet").num_rows
    return count


def compare(plan: Plan, count: int) -> None:
    """Check that every run wrote the same bytes in both fleets.

    Raises:
        FleetError: one did not.
    """
    for number in range(count):
        for file in SAME:
            name = f"{plan.name(number)}/{file}"
            if sha256(plan.folder / "alone" / name) != sha256(plan.folder / "together" / name):
                raise FleetError(f"{name} is not what it is alone: runs disturbed each other")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
