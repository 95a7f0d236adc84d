"""Make the starting policy: copy the shipped one, or warm-start it and refuse it if it has not learned its skill."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.file_hashes import check_hash
from dopr.files import read_prompts
from dopr.runtime.run_state import RunState
from dopr.training.shipped_policy import make_or_copy
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write a model folder in the Hugging Face layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--seed", type=int, required=True, help="of the warm start")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="questions it must never see")
    parser.add_argument("--state", type=Path, required=True, help="folder for the lock")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    held_out = [prompt for path in args.held_out for prompt in read_prompts(path)]
    for path in args.held_out:
        check_hash(path)
    config = RuleParams.load(args.config).config
    shape = config.base.warm_start.model_copy(update={"seed": args.seed})
    with RunState(args.state).held():
        make_or_copy(shape, config.verify, held_out, args.output, args.threads)


if __name__ == "__main__":
    exit_with_one_line(main)
