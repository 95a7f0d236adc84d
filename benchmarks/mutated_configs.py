"""Change config.yaml at random, and check that each is refused in one line or gives a plan.

    python benchmarks/mutated_configs.py --configs 2000 --planned 20

A mutation replaces a value by an odd one or by another value of the file, drops, misspells or adds a key, or repeats an
item of a list. Each configuration is checked as the Snakefile does, in this process: what every rule depends on is
computed for an accepted one, and jobs must read the same from its resolved file. Of all, some are planned by
`snakemake -n` too. Anything but an error for users is a failure, and is printed with its mutations.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import math
import random
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from dopr.config.config_files import BASE, ConfigFiles
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.figures.catalogue import WHOLE
from dopr.workflow.experiment import Experiment, named_config
from dopr.workflow.preflight import open_config
from dopr.workflow.rule_params import RuleParams
from program import run_program
from repeat import copy_project

ODD: list[Any] = [
    *(None, True, False, "", " ", "x", "1e-3", "nan", "ü b'c", "../x", "a/b", "x" * 5000, "a\nb", "{x}", "$HOME"),
    *(-1, 0, 1, 2, 0.5, -0.5, 1e-30, 1e30, 10**30, math.nan, math.inf, -math.inf, datetime.date(2026, 1, 1), b"bytes"),
    *([], {}, [None], [[]], {"a": 1}, {1: 2}, {None: None}, [0, 0], ["x", 1]),
]
Place = tuple[Any, Any]  # a mapping or a list of the configuration, and a key or an index of it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--configs", type=int, default=2000)
    parser.add_argument("--planned", type=int, default=20, help="how many of them `snakemake -n` plans too")
    parser.add_argument("--seed", type=int, default=0)


def places(node: Any) -> Iterator[Place]:
    """Yield every place of nested mappings and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from places(value)


def mutate(raw: dict[str, Any], draw: random.Random) -> str:
    """Change one place of a configuration, and say what was changed."""
    node, key = draw.choice(list(places(raw)))
    kind = draw.choice(["odd", "odd", "other", "drop", "misspell", "add", "repeat"])
    if kind == "odd":
        node[key] = copy.deepcopy(draw.choice(ODD))
    elif kind == "other":
        other, name = draw.choice(list(places(raw)))
        node[key] = copy.deepcopy(other[name])
    elif kind == "repeat" and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    elif kind == "misspell" and isinstance(node, dict):
        node[f"{key}s"] = node.pop(key)
    elif kind == "add" and isinstance(node, dict):
        node[draw.choice(["extra", 7, None, True])] = copy.deepcopy(draw.choice(ODD))
    else:
        del node[key]
        return f"drop {key!r}"
    return f"{kind} {key!r} -> {repr(node[key] if kind in ('odd', 'other') else '')[:60]}"


def mutated(shipped: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a configuration with one to three mutations, and what they are."""
    raw = copy.deepcopy(shipped)
    changes = []
    for _ in range(draw.choice([1, 1, 2, 3])):
        changes.append(mutate(raw, draw))
    return raw, changes


def plan(config: Config) -> None:
    """Compute what every rule depends on, as parsing the Snakefile does, and read the resolved file as jobs do.

    Raises:
        ValueError: Jobs would read another configuration.
    """
    params = RuleParams(config)
    experiment = Experiment(config, params, named_config(config))
    methods = [*config.methods, *(config.complexity.methods.values() if config.complexity.pools else ())]
    for method in methods:
        params.train(method).describe()
    for name in WHOLE:
        params.figure(name)
    json.dumps([params.data(), params.base(0), params.profile().describe(), params.evaluate().describe()])
    json.dumps([params.table("main"), params.table("bounds"), params.track(), params.tune()])
    list(experiment.compared_runs()), list(experiment.seed_batches()), list(experiment.ratio_runs())
    if Config.parse(json.loads(config.model_dump_json())) != config:
        raise ValueError("the resolved file is read as another configuration")


def outcome(raw: dict[str, Any]) -> str:
    """Return `refused` or `planned`.

    Raises:
        ValueError: The refusal is not one line that names the file.
    """
    try:
        config = open_config(raw, ConfigFiles({BASE: raw}))
    except UserError as error:
        if "\n" in str(error) or not str(error).startswith(BASE):
            raise ValueError(f"not one line that names the file: {str(error)[:500]!r}") from None
        return "refused"
    plan(config)
    return "planned"


def planned_by_snakemake(project: Path, raw: dict[str, Any], expected: str) -> str:
    """Plan with Snakemake. Return an empty text, or its output if it is neither a plan nor one line, as expected."""
    (project / BASE).write_text(yaml.safe_dump(raw, allow_unicode=True))
    command = ["snakemake", "--dry-run", "--quiet", "progress"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    good = done.returncode == 0 if expected == "planned" else done.returncode == 1 and len(errors) == 1
    return "" if good and "Traceback" not in output else output


def run(args: argparse.Namespace) -> None:
    """Check every configuration and print what came out.

    Raises:
        UserError: Some were neither refused in one line nor planned.
    """
    shipped, draw, counts = yaml.safe_load(Path(BASE).read_text()), random.Random(args.seed), Counter[str]()
    sampled = set(random.Random(args.seed).sample(range(args.configs), min(args.planned, args.configs)))
    with tempfile.TemporaryDirectory() as folder:
        copy_project(project := Path(folder) / "project")
        for number in range(args.configs):
            raw, changes = mutated(shipped, draw)
            try:
                found = outcome(raw)
            except Exception:
                found = "failed"
                print(f"{number}: {'; '.join(changes)}\n{traceback.format_exc()}", flush=True)
            counts[found] += 1
            if number in sampled and found != "failed":
                output = planned_by_snakemake(project, raw, found)
                counts["failed in Snakemake" if output else "the same in Snakemake"] += 1
                print(f"{number}: {'; '.join(changes)}\n{output}" if output else "", end="", flush=True)
    print(f"{args.configs} configurations: {dict(counts)}")
    if counts["failed"] or counts["failed in Snakemake"]:
        raise UserError("some were neither refused in one line nor planned; see above")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
