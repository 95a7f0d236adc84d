"""Make the benchmarks, the validation questions and the prompt pools: drawn, or read from their sources."""

import argparse
from pathlib import Path

from dopr.data.dataset import make_dataset
from dopr.data.encoding import check_prompts
from dopr.data.templates import make_template
from dopr.data.unreadable_references import as_warnings, check_readable, unreadable
from dopr.errors import exit_with_one_line
from dopr.files import write_prompts
from dopr.runtime.provenance import describe, write
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write test.jsonl, validation.jsonl, one file a pool, and provenance.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()

    jobs = RuleParams.load(args.config)
    config = jobs.config
    base = config.base
    found = make_dataset(config.data, make_template(config.prompt, base.local or base.model, base.revision))
    splits = {"test": found.test, "validation": found.validation, **found.pools}
    if base.local:
        everything = [prompt for prompts in splits.values() for prompt in prompts]
        check_prompts(everything, Path(base.local), config.rollout.max_new_tokens)
    silent = unreadable(splits, config.verify)
    check_readable(splits, silent, found.locations, config.verify.max_error_share)
    for name, prompts in splits.items():
        write_prompts(args.output / f"{name}.jsonl", prompts)
    for name, pool in found.account["pools"].items():
        for benchmark, count in pool["benchmark_questions"].items():
            print(f"pool {name} holds {count} questions of {benchmark}; data.decontaminate takes them out")
    print("\n".join(as_warnings(silent)), end="\n" if silent else "")
    account = {**found.account, "unreadable_references": silent}
    write(args.output, {**describe(jobs.data(), config.data.seed, {}), "data": account})


if __name__ == "__main__":
    exit_with_one_line(main)
