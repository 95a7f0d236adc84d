"""A training or profiling job: it opens the files that the training loop needs, and writes the results."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dopr.analysis.accuracy_history import read_history
from dopr.data.encoding import check_prompts
from dopr.file_hashes import check_hash, check_hashes, write_hashes
from dopr.files import DataError, digest, read_prompts, write_atomically
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.model_folder import SHARED_FILES, read_tokenizer, weight_files
from dopr.models.network import Policy
from dopr.records import Phase
from dopr.rollout.open import open_engine
from dopr.runtime.distributed import barrier, is_main_process, process_group
from dopr.runtime.progress import Progress
from dopr.runtime.provenance import cpu_name, describe, write
from dopr.runtime.run_state import CodePolicy, RunState
from dopr.runtime.stopwatch import Stopwatch
from dopr.runtime.tracking import Tracker
from dopr.selection.selector import Setup, make_selector
from dopr.training.ledger import Ledger
from dopr.training.params import TrainingParams
from dopr.training.prompt_features import prompt_features
from dopr.training.train import Metrics, Run, train

MIN_IDLE_STEPS = 25  # steps in a row without an update from which a progress line reports them


@dataclass(frozen=True)
class TrainingJob:
    """Inputs and outputs of one run.

    Attributes:
        code: The hash of each module that the run depends on.
        history: The accuracy history of the profile; None if the selector does not read it.
        state: The folder of checkpoints.
        tracking: The folder of MLflow's records.
        output: The folder of results.
    """

    name: str
    phase: Phase
    seed: int
    params: TrainingParams
    code: dict[str, str]
    on_code_change: CodePolicy
    pool: Path
    base: Path
    history: Path | None
    state: Path
    tracking: Path
    output: Path

    def inputs(self) -> dict[str, Path]:
        """Return the files whose content decides the result."""
        weights = weight_files(self.base)
        files = {"pool": self.pool, **{path.name if len(weights) > 1 else "base": path for path in weights}}
        files |= {name: self.base / name for name in SHARED_FILES if (self.base / name).is_file()}
        return {**files, "history": self.history} if self.history else files

    def run(self, grader: Grader, device: str = "cpu", gpus: float = 0.0) -> None:
        """Train from the last checkpoint on; write ledger, metrics, seconds, checkpoints and provenance.

        Args:
            gpus: The GPUs that this process holds, for their seconds to be counted.

        Raises:
            UserError: An input is missing or damaged, a checkpoint belongs to another job, or the grader is broken.
        """
        state = RunState(self.state)
        if not is_main_process():
            barrier()  # until the main process has claimed the state
            train(self._open(state, grader, None, device, gpus))
            return
        description = describe(self.params.describe(), self.seed, self.inputs(), device) | {"grader": grader.version}
        with state.held():
            job = {**self.params.describe(), "seed": self.seed, "inputs": description["inputs"]}
            changes = state.claim(job, self.code, self.on_code_change)
            description |= {"code": digest(self.code), **({"code_changes": changes} if changes else {})}
            description["cpu"] = ", then ".join(state.add_processor(cpu_name()))
            barrier()
            tracker = Tracker(self.tracking, self.name, description)
            run = self._open(state, grader, tracker, device, gpus)
            watch = train(run)
            self._write(run, watch)
            state.check_held()
            write(self.output, description)
            tracker.finish(run.metrics, [self.output / "metrics.csv", self.output / "provenance.json"])

    def _open(self, state: RunState, grader: Grader, tracker: Tracker | None, device: str, gpus: float) -> Run:
        """Open all that the training loop needs; only the main process has a tracker, and only it reports."""
        recipe, sampling = self.params.recipe, self.params.rollout
        pool = {prompt.id: prompt for prompt in read_prompts(self.pool)}
        history = read_history(self.history) if self.history else {}
        for path in (self.pool, self.history) if self.history else (self.pool,):
            check_hash(path)
        check_hashes(self.base)
        check_prompts(list(pool.values()), self.base, sampling.max_new_tokens)
        tokenizer = read_tokenizer(self.base)
        load = partial(checkpoint_io.load, self.base, recipe.dtype, device, self.params.attn_implementation)
        features = partial(prompt_features, prompts=list(pool.values()), load=load, tokenizer=tokenizer)
        setup = Setup(tuple(pool), self.seed, recipe.prompts_per_step, recipe.group_size, history, features)
        policy = load()
        return Run(
            name=self.name,
            phase=self.phase,
            seed=self.seed,
            recipe=recipe,
            sampling=sampling,
            pool=pool,
            policy=policy,
            tokenizer=tokenizer,
            engine=open_engine(sampling, self.base, policy.network),
            selector=make_selector(recipe.selector, setup, recipe.options),
            grader=grader,
            state=state,
            save_policy=self._save_policy,
            snapshot_steps=frozenset(self.params.snapshot_steps),
            checkpoint_every=self.params.checkpoint_every,
            gpus=gpus,
            report=partial(report, Progress(self.name, recipe.steps)) if tracker else lambda row, watch: None,
            on_checkpoint=partial(tracker.log, patient=True) if tracker else lambda rows: None,
        )

    def _save_policy(self, policy: Policy, folder: Path) -> None:
        tensors = checkpoint_io.checkpoint_tensors(policy)  # all processes must take part
        if is_main_process():

            def write_policy(temporary: Path) -> None:
                checkpoint_io.save(policy, temporary, self.base, tensors)
                write_hashes(temporary)

            write_atomically(folder, write_policy)

    def _write(self, run: Run, watch: Stopwatch) -> None:
        run.state.check_held()  # the output is that of the run that holds the state
        Ledger(run.state.folder / "ledger", run.name, run.recipe.steps).write(self.output / "ledger.parquet")
        write_metrics(self.output / "metrics.csv", run.metrics)
        watch.write(self.output / "seconds.csv")
        if run.snapshot_steps:
            # Links, not moves: if this process is killed here, the next one still finds the snapshots.
            link = partial(link_snapshots, run.state, sorted(run.snapshot_steps))
            write_atomically(self.output / "checkpoints", link)
        write_hashes(self.output, ["ledger.parquet", "metrics.csv"])


def run_all(jobs: Iterable[TrainingJob], device: str = "cpu", gpus: float = 0.0) -> bool:
    """Run jobs with equal parameters on a device, one after another, with one grader.

    Args:
        gpus: The GPUs that this process holds, for their seconds to be counted.

    Returns:
        Whether this is the main process, which wrote the results.

    Raises:
        UserError: See TrainingJob.run.
    """
    jobs = list(jobs)
    with process_group(device), Grader(jobs[0].params.verify) as grader:
        for job in jobs:
            job.run(grader, device, gpus)
        return is_main_process()


def link_snapshots(state: RunState, steps: Sequence[int], target: Path) -> None:
    """Copy the policies kept after some steps by hard links, which take no space.

    Raises:
        DataError: One is missing.
    """
    for source in map(state.snapshot, steps):
        if not source.is_dir():
            raise DataError(f"{source}: missing; delete {state.folder} to train this run again")
        shutil.copytree(source, target / source.name, copy_function=os.link)


def report(progress: Progress, row: Metrics, watch: Stopwatch) -> None:
    """Print the progress line of a finished step."""
    step = int(row["step"])
    speed = row["tokens"] / max(1e-9, watch.laps[-1][2])
    text = f"{int(row['rollouts'])} rollouts, reward {row['reward']:.2f}, {speed / 1000:.1f}k tokens/s"
    if row["idle"] >= MIN_IDLE_STEPS:
        text += f", no update for {int(row['idle'])} steps"
    progress.report(step, text, watch.seconds_left(progress.steps))


def write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row per step, with nine significant digits, so that equal runs give equal bytes."""

    def write_rows(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
            table.writeheader()
            table.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in rows)

    write_atomically(path, write_rows)
