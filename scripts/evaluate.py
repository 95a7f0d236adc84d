"""Evaluate every checkpoint of a run, or one model folder, on a set of questions; keep all completions."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.evaluation_job import EvaluationJob
from dopr.jobs import Jobs
from dopr.threads import use_threads


def main() -> None:
    """Write completions.parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="POOL/METHOD/SEED, or base")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--questions", type=Path, required=True, help="prompts, as JSON lines")
    parser.add_argument("--model", type=Path, help="folder of one model; else give the three below")
    parser.add_argument("--checkpoints", type=Path, help="the run's folder of checkpoints")
    parser.add_argument("--ledger", type=Path, help="the run's ledger")
    parser.add_argument("--base", type=Path, help="completions of the starting policy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    use_threads(args.threads)
    job = EvaluationJob(args.name, args.seed, Jobs.load(args.config).evaluate(), args.questions)
    if args.model:
        job.evaluate_model(args.model, args.output)
    else:
        job.evaluate_run(args.checkpoints, args.ledger, args.base, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
