"""The data job: the benchmarks, the validation questions and the pools of a configuration, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dopr.config.schema import Config
from dopr.data.dataset import make_dataset
from dopr.data.encoding import check_prompts
from dopr.data.templates import make_template
from dopr.data.unreadable_references import as_warnings, check_readable, unreadable
from dopr.file_hashes import write_hashes
from dopr.files import DataError, write_prompts
from dopr.records import Prompt
from dopr.runtime.provenance import describe, write


def write_dataset(config: Config, settings: Mapping[str, Any], output: Path) -> None:
    """Write test.jsonl, validation.jsonl, one file a pool, hashes.json and provenance.json.

    What a user should know is printed.

    Args:
        config: The configuration.
        settings: What the data depend on, for the provenance.
        output: The folder to write to.

    Raises:
        DataError: A source cannot be read, a pool is too small for the sample-complexity figure, too many references
            are unreadable, or a prompt does not fit the model.
    """
    base = config.base
    found = make_dataset(config.data, make_template(config.prompt, base.local or base.model, base.revision))
    check_counts(config, found.pools)
    splits = {"test": found.test, "validation": found.validation, **found.pools}
    if base.local:
        everything = [prompt for prompts in splits.values() for prompt in prompts]
        check_prompts(everything, Path(base.local), config.rollout.max_new_tokens)
    silent = unreadable(splits, config.verify)
    check_readable(splits, silent, found.locations, config.verify.max_error_share)
    for name, prompts in splits.items():
        write_prompts(output / f"{name}.jsonl", prompts)
    write_hashes(output, [f"{name}.jsonl" for name in splits])
    for name, pool in found.account["pools"].items():
        for benchmark, count in pool["benchmark_questions"].items():
            print(f"pool {name} holds {count} questions of {benchmark}; data.decontaminate takes them out")
    print("\n".join(as_warnings(silent)), end="\n" if silent else "")
    account = {**found.account, "unreadable_references": silent}
    write(output, {**describe(settings, config.data.seed, {}), "data": account})


def check_counts(config: Config, pools: Mapping[str, Sequence[Prompt]]) -> None:
    """Check that the sample-complexity figure takes no more prompts than a pool has.

    Raises:
        DataError: It does; names the key and the fix.
    """
    for name in config.complexity.pools:
        for count in config.complexity.methods:
            if count != "all" and count > len(pools[name]):
                raise DataError(
                    f"complexity.methods.{count}: pool {name} has {len(pools[name])} prompts; set it to null"
                )
