"""Train one method on one pool with one seed, outside the workflow, with all files in a folder of your own.

CONFIG are overlays on config.yaml, in the order Snakemake is given them. The same command again goes on from the last
checkpoint. Methods that read the profile's history need the workflow, which makes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dopr.config.schema import Config
from dopr.data.job import write_dataset
from dopr.errors import UserError
from dopr.files import digest, read_prompts, sha256
from dopr.training.shipped_policy import make_or_copy
from dopr.workflow.preflight import check_packages, read_config
from dopr.workflow.rule_params import RuleParams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("overlays", nargs="*", type=Path, metavar="CONFIG", help="overlays on config.yaml")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="what they are laid over")
    parser.add_argument("--method", required=True, help="a recipe, or RECIPE@LEARNING_RATE")
    parser.add_argument("--pool", help="the pool to train on (default: the configuration's first)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for data, starting policy and results")


def run(args: argparse.Namespace) -> None:
    """Write the data, the base policy if it is the embedded one, and the results of the run.

    Raises:
        UserError: The configuration cannot be run, or the method needs a file that only the workflow makes.
    """
    config = read_config([args.config, *args.overlays])
    check_packages(config)
    params = RuleParams(config)
    pool = args.pool or config.pools[0]
    check(config, params, args.method, pool, args.seed)
    from dopr.runtime.gpus import use_gpus
    from dopr.runtime.threads import use_threads
    from dopr.runtime.tracking_store import create_store
    from dopr.training.job import TrainingJob, run_all

    use_threads(1)
    write_dataset(config, params.data(), args.output / "data")
    create_store(args.output / "mlflow.db", args.output / "store.json")
    training, run_folder = params.train(args.method), Path(pool) / args.method / str(args.seed)
    job = TrainingJob(
        name=str(run_folder),
        phase="train",
        seed=args.seed,
        params=training,
        code=params.code_hashes("train", training.recipe.selector),
        on_code_change=config.code_policy,
        pool=args.output / f"data/{pool}.jsonl",
        base=starting_policy(config, params, pool, args.output),
        history=None,
        state=args.output / "state" / run_folder,
        tracking=args.output / "store.json",
        output=args.output / "train" / run_folder,
    )
    with use_gpus(config.hardware) as device:
        run_all([job], device, config.hardware.held(device))
    print(f"{job.output}: ledger.parquet, metrics.csv and checkpoints/")


def check(config: Config, params: RuleParams, method: str, pool: str, seed: int) -> None:
    """Raise an error if the run is not possible outside the workflow.

    Raises:
        UserError: The seed is negative, there is no such pool or method, the method reads the profile, or the model
            must be fetched first.
    """
    if seed < 0:
        raise UserError(f"--seed {seed}: give 0 or more")
    if pool not in config.data.pools:
        raise UserError(f"--pool {pool}: data.pools has {', '.join(config.data.pools)}")
    if params.needs_history(method):
        raise UserError(f"--method {method}: its selector reads the profile; run the workflow, which makes it")
    if config.base.fetched or config.base.converted:
        raise UserError(f"base.model: {config.base.model} is made a folder by the workflow; give a folder")
    if config.hardware.processes > 1:
        raise UserError(f"hardware.processes: {config.hardware.processes} are started by the workflow; set it to 1")


def starting_policy(config: Config, params: RuleParams, pool: str, output: Path) -> Path:
    """Return the folder of the given model, or of the embedded policy, made or copied once for its questions."""
    if config.base.local:
        return Path(config.base.local)
    seed = int(Path(config.base_of(pool)).name)
    settings = params.base(seed)
    questions = [output / f"data/{name}.jsonl" for name in ("test", "validation")]
    parts = {**settings, **{path.name: sha256(path) for path in questions}}
    folder = output / "base" / digest({key: str(value) for key, value in parts.items()})
    if not folder.is_dir():
        held_out = [prompt for path in questions for prompt in read_prompts(path)]
        make_or_copy(
            config.base.warm_start.model_copy(update={"seed": seed}), config.verify, held_out, folder, threads=1
        )
    return folder
