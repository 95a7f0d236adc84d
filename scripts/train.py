"""Train one method with one seed on one pool, from the last checkpoint on."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.jobs import Jobs
from dopr.threads import use_threads
from dopr.training_job import TrainingJob


def main() -> None:
    """Write ledger.parquet, metrics.csv, seconds.csv, provenance.json and checkpoints/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="POOL/METHOD/SEED")
    parser.add_argument("--method", required=True, help="a recipe, top_N, or RECIPE@RATE")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--pool", type=Path, required=True, help="prompts, as JSON lines")
    parser.add_argument("--base", type=Path, required=True, help="folder of the starting policy")
    parser.add_argument("--history", type=Path, help="accuracy of each visit during profiling, as JSON")
    parser.add_argument("--state", type=Path, required=True, help="folder for checkpoints of unfinished work")
    parser.add_argument("--tracking", type=Path, required=True, help="marker of the tracking store")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = vars(parser.parse_args())
    use_threads(args.pop("threads"))
    settings = Jobs.load(args.pop("config")).train(args.pop("method"))
    TrainingJob(phase="train", settings=settings, **args).run()


if __name__ == "__main__":
    exit_with_one_line(main)
