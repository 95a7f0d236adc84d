"""Train one method on one pool, one seed after another, each from its last checkpoint on."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.files import read_json
from dopr.runtime.gpus import use_gpus
from dopr.runtime.threads import use_threads
from dopr.training.job import TrainingJob, run_all
from dopr.workflow.rule_params import RuleParams


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--name", required=True, help="POOL/METHOD, for progress and tracking")
    parser.add_argument("--method", required=True, help="a recipe, top_N, or RECIPE@RATE")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--pool", type=Path, required=True, help="prompts, as JSON lines")
    parser.add_argument("--base", type=Path, required=True, help="folder of the starting policy")
    parser.add_argument("--history", type=Path, help="accuracy of each visit during profiling, as JSON")
    parser.add_argument("--code", type=Path, required=True, help="hash of each module of the run, as JSON")
    parser.add_argument("--state", type=Path, required=True, help="folder for unfinished work, one in it for each seed")
    parser.add_argument("--tracking", type=Path, required=True, help="marker of the tracking store")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="folder for results, one in it for each seed")
    return parser.parse_args()


def main() -> None:
    """Write ledger.parquet, metrics.csv, seconds.csv, provenance.json and checkpoints/ to OUTPUT/SEED."""
    args = parse_arguments()
    use_threads(args.threads)
    rule_params = RuleParams.load(args.config)
    params = rule_params.train(args.method)
    runs = (
        TrainingJob(
            name=f"{args.name}/{seed}",
            phase="train",
            seed=seed,
            params=params,
            code=read_json(args.code),
            on_code_change=rule_params.config.code_policy,
            pool=args.pool,
            base=args.base,
            history=args.history,
            state=args.state / str(seed),
            tracking=args.tracking,
            output=args.output / str(seed),
        )
        for seed in args.seeds
    )
    with use_gpus(rule_params.config.hardware) as device:
        run_all(runs, device, rule_params.config.hardware.held(device))


if __name__ == "__main__":
    exit_with_one_line(main)
