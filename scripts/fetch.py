"""Fetch the starting policy from the hub, and refuse it if it cannot be used on these questions."""

import argparse
from pathlib import Path

from dopr.data.encoding import check_prompts
from dopr.errors import exit_with_one_line
from dopr.files import read_prompts, write_atomically
from dopr.models.hub import fetch
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write a model folder that links to what was downloaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--questions", type=Path, nargs="+", required=True, help="prompts, as JSON lines")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    config = RuleParams.load(args.config).config
    prompts = [prompt for path in args.questions for prompt in read_prompts(path)]

    def write(folder: Path) -> None:
        fetch(config.base.model or "", config.base.revision or "", folder)
        check_prompts(prompts, folder, config.rollout.max_new_tokens)

    write_atomically(args.output, write)


if __name__ == "__main__":
    exit_with_one_line(main)
