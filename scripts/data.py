"""Draw the benchmarks, the validation questions and the prompt pools of the embedded task."""

import argparse
from pathlib import Path

from dopr.data.splits import held_out, prompt_pool, questions_of
from dopr.errors import exit_with_one_line
from dopr.files import write_prompts
from dopr.jobs import Jobs


def main() -> None:
    """Write test.jsonl, validation.jsonl and one file a pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()

    data = Jobs.load(args.config).config.data
    test, validation = held_out(data)
    for name, split in (("test", test), ("validation", validation)):
        write_prompts(args.output / f"{name}.jsonl", [prompt for prompts in split.values() for prompt in prompts])
    excluded = questions_of(test, validation)
    for name, pool in data.pools.items():
        write_prompts(args.output / f"{name}.jsonl", prompt_pool(name, pool, data.seed, excluded))


if __name__ == "__main__":
    exit_with_one_line(main)
