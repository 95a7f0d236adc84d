"""Evaluate one model folder, or every checkpoint of some runs, on a set of questions; keep all completions."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.evaluation.job import EvaluationJob
from dopr.runtime.gpus import use_gpus
from dopr.runtime.threads import use_threads
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write OUTPUT for a model, or OUTPUT/SEED/completions.parquet for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--name", required=True, help="POOL/METHOD or base, for progress")
    parser.add_argument("--questions", type=Path, required=True, help="prompts, as JSON lines")
    parser.add_argument("--model", type=Path, help="folder of one model; else give the three below")
    parser.add_argument("--runs", type=Path, help="folder of the runs, one in it for each seed")
    parser.add_argument("--seeds", type=int, nargs="+", help="the runs to evaluate")
    parser.add_argument("--base", type=Path, help="completions of the starting policy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    use_threads(args.threads)
    rule_params = RuleParams.load(args.config)
    with (
        use_gpus(rule_params.config.hardware) as device,
        EvaluationJob(args.name, rule_params.evaluate(), args.questions, device) as job,
    ):
        if args.model:
            job.evaluate_model(args.model, args.output)
        else:
            for seed in args.seeds:
                output = args.output / str(seed) / "completions.parquet"
                job.evaluate_run(args.runs / str(seed), seed, args.base, output)


if __name__ == "__main__":
    exit_with_one_line(main)
