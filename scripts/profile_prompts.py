"""Profile a pool: train on all of it, and rank its prompts by the historical variance of their accuracy."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.file_hashes import write_hashes
from dopr.files import read_json, read_prompts, write_json
from dopr.parquet_files import read_parquet
from dopr.profiling.profile import history_of, write_ranking
from dopr.runtime.gpus import use_gpus
from dopr.runtime.threads import use_threads
from dopr.training.job import TrainingJob, run_all
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write history.json and ranking.csv beside the run's ledger and metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="POOL/profile")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--pool", type=Path, required=True, help="prompts, as JSON lines")
    parser.add_argument("--base", type=Path, required=True, help="folder of the starting policy")
    parser.add_argument("--code", type=Path, required=True, help="hash of each module of the run, as JSON")
    parser.add_argument("--state", type=Path, required=True, help="folder for checkpoints of unfinished work")
    parser.add_argument("--tracking", type=Path, required=True, help="marker of the tracking store")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = vars(parser.parse_args())
    use_threads(args.pop("threads"))
    rule_params = RuleParams.load(args.pop("config"))
    params = rule_params.profile()
    job = TrainingJob(
        phase="profile",
        params=params,
        code=read_json(args.pop("code")),
        on_code_change=rule_params.config.code_policy,
        history=None,
        **args,
    )
    with use_gpus(rule_params.config.hardware) as device:
        wrote = run_all([job], device, rule_params.config.hardware.held(device))
    if not wrote:
        return
    pool = {prompt.id: prompt for prompt in read_prompts(job.pool)}
    history = history_of(read_parquet(job.output / "ledger.parquet"), pool)
    write_json(job.output / "history.json", history)
    write_ranking(job.output / "ranking.csv", history, pool)
    write_hashes(job.output, ["history.json", "ranking.csv", "ledger.parquet", "metrics.csv"])


if __name__ == "__main__":
    exit_with_one_line(main)
