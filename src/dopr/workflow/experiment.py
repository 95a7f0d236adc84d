"""What the Snakefile knows of the experiment: its jobs, its runs, and the housekeeping around them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dopr.config.config_files import ConfigFiles
from dopr.config.schema import Config
from dopr.data.public import at_hand
from dopr.data.sources import mirror_of, source_named, used_sources
from dopr.errors import UserError
from dopr.files import digest, read_json, remove_half_written, search, write_text
from dopr.models.gguf.place import locate
from dopr.models.model_folder import SHARED_FILES
from dopr.runtime.file_locks import try_flock
from dopr.runtime.fork_server import ForkServers
from dopr.runtime.gpus import listed_gpus
from dopr.runtime.provenance import mixed_processors
from dopr.workflow.preflight import check_packages, check_states, open_config
from dopr.workflow.rule_params import NO_SELECTOR, RuleParams

STATE = Path("results/state")
TRAINED = Path("results/train")
EVALUATED = Path("results/evaluate")
RECORD = "acc_step_500.json"
LOCK = Path(".snakemake/dopr.lock")


@dataclass(frozen=True)
class Experiment:
    """The checked configuration, what its rules depend on, and the file that jobs read it from.

    The file is named by its content, so that a later change cannot reach a job of this run.
    """

    config: Config
    rule_params: RuleParams
    config_path: Path
    servers: ForkServers = field(default_factory=ForkServers)

    @property
    def forked(self) -> list[str]:
        """The kinds of jobs that may be forks. Those on a GPU take long, and neither CUDA nor vLLM survives a fork."""
        torch = not self.config.hardware.gpus and self.config.rollout.engine == "torch"
        return ["analysis", "torch"] if torch else ["analysis"]

    def base_named(self, name: str) -> str:
        """Return the folder of the starting policy with a name."""
        base = self.config.base
        given = base.local if base.local and not base.converted else None
        return given or f"results/base/{name}"

    @property
    def data_files(self) -> list[str]:
        """The user's own files that the data are made from: of sources, and what says how the model reads prompts."""
        data = self.config.data
        sources = [source_named(data, name) for name in used_sources(data)]
        files = [str(source.file) for source in sources if source.file]
        folders = [Path(source.repo) for source in sources if source.repo and Path(source.repo).is_dir()]
        files += [str(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        return files + [path for path in self.base_files if Path(path).name in SHARED_FILES]

    @property
    def base_files(self) -> list[str]:
        """The files of a model folder of the user's that are read."""
        base = self.config.base
        given = Path(base.local) if base.local and not base.converted else None
        files = sorted(given.iterdir()) if given and given.is_dir() else []
        return [str(path) for path in files if path.name in SHARED_FILES or ".safetensors" in path.suffixes]

    @property
    def gguf_file(self) -> str:
        """The GGUF file that the starting policy is read from."""
        return str(locate(self.config.base.model or ""))

    def compared_runs(self) -> Iterator[str]:
        """Yield POOL/METHOD/SEED of every run of the comparison."""
        for pool, method, seed in product(self.config.pools, self.config.methods, self.config.seeds):
            yield f"{pool}/{method}/{seed}"

    @property
    def model(self) -> str:
        """The starting policy's name on the hub, of a paper's overlay; else nothing is comparable with the papers."""
        base = self.config.base
        return base.model if self.config.ablation and base.model and not base.converted else ""

    @property
    def tracked(self) -> str:
        """The file of the MLflow ids; an overlay has its own, so that the experiment's stays as it is."""
        ablation = self.config.ablation
        return f"results/ablations/{ablation}/tracked.json" if ablation else "results/tracked.json"

    def comparable_on_disk(self) -> list[str]:
        """Return the completions to show beside published numbers; absolute paths match no rule's output."""
        runs = self.compared_runs() if self.model else []
        return [str(path.resolve()) for run in runs if (path := EVALUATED / run / "completions.parquet").is_file()]

    def code_path(self, script: str, selector: str = NO_SELECTOR) -> str:
        """Return the file with the hashes of the modules that a script's jobs run; the selector's name is quoted."""
        return f"results/code/{script}/{quote(selector, safe='')}.json"

    def warn_of_older_code(self) -> None:
        """Print to stderr how many finished runs are kept although other code made them."""
        older = [run for run in dict.fromkeys([*self.compared_runs(), *self.complexity_runs()]) if self._is_older(run)]
        if older and self.config.code_policy != "restart":
            print(
                f"kept: {len(older)} finished runs of other code, such as results/train/{older[0]}; "
                "--config on_code_change=restart runs them again",
                file=sys.stderr,
            )

    def warn_of_processors(self) -> None:
        """Print to stderr if finished runs of the comparison are from different processors."""
        runs = dict.fromkeys([*self.compared_runs(), *self.complexity_runs()])
        if warning := mixed_processors(TRAINED / run for run in runs):
            print(f"warning: {warning}", file=sys.stderr)

    def _is_older(self, run: str) -> bool:
        path = TRAINED / run / "provenance.json"
        if not path.is_file():
            return False
        hashes = self.rule_params.code_hashes("train", self.rule_params.recipe(run.split("/")[1]).selector)
        return bool(read_json(path).get("code") != digest(hashes))

    @property
    def costs(self) -> list[str]:
        """What accuracy is drawn against; where jobs ask for GPUs, their seconds and not the processor's."""
        return ["rollouts", "tokens", "gpu_seconds" if self.config.hardware.gpus else "cpu_seconds", "wall_seconds"]

    def comparable_runs(self) -> list[str]:
        """Return POOL/METHOD/SEED of each run whose completions are shown beside published numbers."""
        return ["/".join(Path(path).parts[-4:-1]) for path in self.comparable_on_disk()]

    def record_at_hand(self) -> list[str]:
        """Return the public record of 1-shot RLVR if it is on this machine; it is not downloaded for a figure."""
        path = at_hand(RECORD, mirror_of(self.config.data))
        return [str(path)] if path else []

    def acquiring(self) -> list[str]:
        """Return the methods whose selector logs volatility and exploration."""
        return [method for method in self.config.methods if self.rule_params.recipe(method).selector == "dopr"]

    @property
    def evaluated(self) -> bool:
        """Whether every run of the comparison and of the sample-complexity figure was evaluated."""
        runs = [*self.compared_runs(), *self.complexity_runs()]
        return all((EVALUATED / run / "completions.parquet").is_file() for run in runs)

    @property
    def profiled_pools(self) -> list[str]:
        """The pools that are profiled: all or none, as a method of the comparison or the bounds read their history."""
        bounds = bool(self.config.complexity.pools) and not self.config.ablation
        read = bounds or any(map(self.rule_params.needs_history, self.config.methods))
        return self.config.pools if read else []

    @property
    def profiled(self) -> bool:
        """Whether every pool that must be profiled has been."""
        return all(Path(f"results/profile/{pool}/history.json").is_file() for pool in self.profiled_pools)

    def validated_runs(self) -> list[str]:
        """Return POOL/METHOD/SEED of every run whose reported checkpoint is chosen on validation questions."""
        return list(self.compared_runs()) if self.config.evaluate.checkpoint == "best_on_validation" else []

    def complexity_runs(self) -> Iterator[str]:
        """Yield POOL/METHOD/SEED of every run of the sample-complexity figure."""
        methods = self.config.complexity.methods.values()
        for pool, method, seed in product(self.config.complexity.pools, methods, self.config.seeds):
            yield f"{pool}/{method}/{seed}"

    def seed_batches(self) -> Iterator[list[str]]:
        """Yield the seeds that share a job, of the comparison and of the learning-rate search."""
        extra = [seed for seed in self.config.tune.seeds if seed not in self.config.seeds]
        for seeds in (self.config.seeds, extra):
            for batch in batched(seeds, self.config.seeds_per_job):
                yield [str(seed) for seed in batch]

    def ratio_runs(self) -> Iterator[str]:
        """Yield POOL/METHOD/SEED of every run of the comparison by reuse and selection."""
        pools = [pool for members in self.config.ratio.panels.values() for pool in members]
        for pool, method, seed in product(pools, self.config.methods, self.config.seeds):
            yield f"{pool}/{method}/{seed}"

    def tuning_runs(self) -> Iterator[str]:
        """Yield POOL/METHOD@RATE/SEED of every run of the learning-rate search."""
        tune = self.config.tune
        pools = tune.pools or self.config.pools
        for pool, method, rate, seed in product(pools, tune.methods, tune.learning_rates, tune.seeds):
            yield f"{pool}/{method}@{rate}/{seed}"

    def start(self, in_this_environment: bool, on_this_machine: bool) -> None:
        """Prepare for the first job: write the configuration for the jobs and lock this folder against another run.

        A dry run does not come here, so it writes nothing and may plan for another machine.

        Args:
            in_this_environment: Jobs run in it, and not in one of envs/, whose packages cannot be looked for from here.
            on_this_machine: Jobs run on it, and not on nodes of a cluster.

        Raises:
            SystemExit: After one line, if a package is missing, another Snakemake runs in this folder, or it cannot be
                written.
        """
        try:
            if in_this_environment:
                check_packages(self.config)
            take_lock()
            write_text(self.config_path, self.config.model_dump_json(indent=1))
        except (UserError, OSError) as error:  # such as a full or read-only disk
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        if in_this_environment and on_this_machine:
            self.servers.start(self.forked)

    def limit_gpus(self, *resources: dict[str, int]) -> None:
        """Let Snakemake run as many jobs at a time as this machine has GPUs for, unless --resources gpu=N says it.

        Args:
            resources: What Snakemake's scheduler counts. Before it exists, nothing tells whether jobs run on this
                machine or on nodes of a cluster.
        """
        hardware = self.config.hardware
        if not hardware.gpus or any("gpu" in limits for limits in resources):
            return
        found = len(listed_gpus())
        if found < hardware.gpus:
            print(
                f"warning: hardware.gpus: {hardware.gpus} for a job, and {found or 'no'} GPUs are found on this "
                "machine; if it has more, say how many: --resources gpu=N",
                file=sys.stderr,
            )
            return
        slots = found * hardware.share
        print(f"GPUs: {found} found, as with --resources gpu={slots}", file=sys.stderr)
        for limits in resources:
            limits["gpu"] = slots

    def sweep(self) -> None:
        """Delete other configurations, the working state of runs whose outputs are complete, and half-written files."""
        for path in self.config_path.parent.iterdir():
            if path != self.config_path:
                path.unlink()
        for finished in search(STATE, "job.json"):
            output = Path("results") / finished.parent.relative_to(STATE) / "provenance.json"
            if output.is_file() and output.stat().st_mtime >= finished.stat().st_mtime:
                shutil.rmtree(finished.parent)
        remove_half_written(Path("results"))


def open_experiment(
    paths: Sequence[Path], given: Mapping[str, Mapping[str, Any] | None] | None = None, main: bool = True
) -> Experiment:
    """Check a configuration before any job; a mistake in it is one line and exit code 1.

    Args:
        paths: The files that it is merged from, in this order; a message names the one with the mistake.
        given: What overrides them, by where it comes from, such as the command line.
        main: Whether this process runs the workflow, and not one job of it on a node of a cluster.
    """
    try:
        files = ConfigFiles.read(paths, given)
        config = open_config(files.merged(), files, main)
        rule_params = RuleParams(config)
        check_states(config, rule_params, STATE)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    experiment = Experiment(config, rule_params, named_config(config))
    if main:
        experiment.warn_of_older_code()
        experiment.warn_of_processors()
    return experiment


def check_folders(project: Path) -> None:
    """End the program with one line where Snakemake would end later with a traceback.

    Args:
        project: The folder of the project. Snakemake runs in the working folder.
    """
    problem = ""
    if set("{}") & set(str(project)):
        problem = f"{project}: Snakemake takes braces in a path for wildcards; rename the folder"
    elif not os.access(Path.cwd(), os.W_OK):
        problem = f"{Path.cwd()}: cannot be written; run in another folder, on a disk that can"
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1)


def batched(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Return consecutive slices of at most `size` values."""
    return (values[start : start + size] for start in range(0, len(values), size))


def named_config(config: Config) -> Path:
    """Name the resolved configuration's file by its hash, and set DOPR_CONFIG for the jobs.

    They get the name from their environment: as a parameter or input of the rules, any change would rerun them all.
    """
    text = config.model_dump_json(indent=1)
    path = Path("results/configs") / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    os.environ["DOPR_CONFIG"] = str(path)
    return path


def take_lock() -> None:
    """Lock this folder until this process ends.

    Snakemake's own lock outlives a killed Snakemake, and the next run would ask the user to unlock; profiles/ turn it
    off.

    Raises:
        UserError: Another process holds the lock.
    """
    LOCK.parent.mkdir(exist_ok=True)
    descriptor = os.open(LOCK, os.O_CREAT | os.O_WRONLY)  # a number: nothing closes it before the process ends
    if not try_flock(descriptor, LOCK):
        os.close(descriptor)
        raise UserError("another Snakemake runs in this folder: wait for it, or stop it")
