"""Damage the files that stages hand to each other, and check that the next stage names the damaged one.

    python benchmarks/mutated_inputs.py --folder /tmp/inputs --mutations 300

A file gets one flipped bit, loses its tail, all of its content, or one of its columns or keys. Then the program of a
stage that reads it runs: training from the start or from a checkpoint, evaluation, a table, a figure. It must end with
one line that names the file (`named`), or write what it writes without the damage, which it then does not read
(`harmless`). Other results mean that the file was taken for whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from dopr.errors import UserError
from dopr.runtime.fork_server import ForkServers
from program import campaign_arguments, run_program
from reduced_pipeline import TIMED, Pipeline, error_lines, hash_files

DAMAGES = ("flip", "flip", "truncate", "empty", "drop")


@dataclass(frozen=True)
class Stage:
    """A program, what it reads, and where its command begins.

    Attributes:
        command: The command; OUT stands for a folder of its own, for results and state.
        reads: The files to damage, as patterns below the project's folder or below OUT.
        resumes: Whether it goes on from the state of a run that ended, whose outputs are gone.
    """

    command: str
    reads: tuple[str, ...]
    resumes: bool = False


TRAIN = (
    "torch train --config CONFIG --name easy/dopr_profile --method dopr_profile --seeds 0"
    " --pool results/data/easy.jsonl --base results/base/0 --history results/profile/easy/history.json"
    " --code results/code/train/dopr.json --tracking results/store.json --state OUT/state --output OUT/results"
)
EVALUATE = (
    "torch evaluate --config CONFIG --name easy/grpo --runs results/train/easy/grpo --seeds 0"
    " --questions results/data/test.jsonl --base results/base_completions/0/test.parquet --output OUT/results"
)
STAGES = {
    "train": Stage(
        TRAIN,
        (
            "results/data/easy.jsonl",
            "results/profile/easy/history.json",
            "results/base/0/model.safetensors",
            "results/base/0/*.json",
            "results/code/train/dopr.json",
        ),
    ),
    "resume": Stage(TRAIN, ("OUT/state/0/step-*/state.pt", "OUT/state/0/ledger/*", "OUT/state/0/*.json"), True),
    "evaluate": Stage(
        EVALUATE,
        (
            "results/data/test.jsonl",
            "results/train/easy/grpo/0/ledger.parquet",
            "results/train/easy/grpo/0/checkpoints/*/model.safetensors",
            "results/train/easy/grpo/0/checkpoints/*/*.json",
            "results/base_completions/0/test.parquet",
        ),
    ),
    "tables": Stage(
        "analysis table comparison --config CONFIG --output OUT/results",
        ("results/evaluate/easy/*/0/completions.parquet", "results/profile/easy/history.json"),
    ),
    "figure": Stage(
        "analysis figure training --config CONFIG --output OUT/results/training",
        ("results/train/easy/*/0/metrics.csv", "results/train/easy/*/0/provenance.json"),
    ),
    "selection": Stage(
        "analysis figure selection_easy --config CONFIG --output OUT/results/selection",
        ("results/train/easy/*/0/ledger.parquet", "results/profile/easy/*.csv", "results/data/easy.jsonl"),
    ),
}


def damage(path: Path, kind: str, draw: random.Random) -> bool:
    """Damage a file; return whether this kind of damage can be done to it."""
    content = bytearray(path.read_bytes())
    if not content or (kind == "drop" and not drop_a_part(path, draw)):
        return False
    if kind == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "truncate":
        del content[draw.randrange(len(content)) :]
    elif kind == "empty":
        content.clear()
    if kind != "drop":
        path.write_bytes(content)
    return True


def drop_a_part(path: Path, draw: random.Random) -> bool:
    """Take a column out of a table, or a part out of a JSON value or of one row of JSON lines."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([draw.choice(table.column_names)]), path)
    elif path.suffix == ".csv":
        rows = [line.split(",") for line in path.read_text().splitlines()]
        column = draw.randrange(len(rows[0]))
        path.write_text("".join(",".join(row[:column] + row[column + 1 :]) + "\n" for row in rows))
    elif path.suffix in (".json", ".jsonl"):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        number = draw.randrange(len(lines))
        value = json.loads(lines[number])
        value.pop(draw.randrange(len(value)) if isinstance(value, list) else draw.choice(sorted(value)))
        lines[number] = json.dumps(value)
        path.write_text("\n".join(lines) + "\n")
    else:
        return False
    return True


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Put a file's content back at the end."""
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


class Campaign:
    """The stages of one finished run, on files that are damaged one at a time."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline(folder / "project")
        self.out = folder / "out"
        if not self.pipeline.folder.exists():
            self.pipeline.create().finish()
        self.project = self.pipeline.folder
        self.config = next((self.project / "results/configs").glob("*.json"))
        self.states = {name: folder / f"state-{name}" for name in STAGES}
        self.expected = {name: self._prepare(name) for name in STAGES}

    def _prepare(self, name: str) -> dict[str, str]:
        """Return the hashes of a stage's results without damage, and keep its state."""
        shutil.rmtree(self.out, ignore_errors=True)
        code, output = self.run(name)
        if code:
            raise UserError(f"{name} fails without damage:\n{output}")
        shutil.rmtree(self.states[name], ignore_errors=True)
        if STAGES[name].resumes:
            shutil.copytree(self.out / "state", self.states[name])
        return self.results()

    def results(self) -> dict[str, str]:
        """Return the hashes of what a stage wrote."""
        return {name: value for name, value in hash_files(self.out / "results").items() if not TIMED.search(name)}

    def run(self, name: str) -> tuple[int, str]:
        """Run a stage's program; return its exit code and output."""
        words = STAGES[name].command.replace("CONFIG", str(self.config)).replace("OUT", str(self.out)).split()
        command = [sys.executable, "-m", "dopr.runtime.launch", *words]
        environment = {**os.environ, "PYTHONPATH": str(self.project / "src")}
        done = subprocess.run(command, cwd=self.project, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def begin(self, name: str) -> list[Path]:
        """Clear what the last call wrote, and return the files that may be damaged."""
        shutil.rmtree(self.out, ignore_errors=True)
        if STAGES[name].resumes:
            shutil.copytree(self.states[name], self.out / "state")
        patterns = [Path(pattern.replace("OUT/", "../out/")) for pattern in STAGES[name].reads]
        return [path for pattern in patterns for path in sorted(self.project.glob(str(pattern))) if path.is_file()]

    def judge(self, name: str, path: Path, code: int, output: str) -> str:
        """Return how a damage ended."""
        if code == 0:
            return "harmless" if self.results() == self.expected[name] else "taken for whole"
        errors = error_lines(output)
        named = len(errors) == 1 and (path.name in errors[0] or path.parent.name in errors[0])
        return "named" if named and "Traceback" not in output else "not named"

    def round(self, draw: random.Random) -> tuple[str, str, str]:
        """Damage one file and run one stage; return what was damaged and how it ended."""
        name, kind = draw.choice(sorted(STAGES)), draw.choice(DAMAGES)
        path = draw.choice(self.begin(name))
        with restored(path):
            if not damage(path, kind, draw):
                return "", "", ""
            code, output = self.run(name)
        found = self.judge(name, path, code, output)
        return found, f"{name}: {kind} {path}", output


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print how often what came out.

    Raises:
        UserError: A damaged file was not named.
    """
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="dopr-inputs-"))).resolve()
    draw, counts, servers = random.Random(args.seed), Counter[str](), ForkServers()
    campaign = Campaign(folder)
    here = Path.cwd()
    os.chdir(campaign.project)
    servers.start(["torch", "analysis"])
    os.chdir(here)
    while counts.total() < args.mutations:
        found, what, output = campaign.round(draw)
        if found:
            counts[found] += 1
        if found in ("not named", "taken for whole"):
            print(f"{found}: {what}\n{output[-1500:] if found == 'not named' else ''}", flush=True)
    servers.stop()
    print(f"{counts.total()} damaged files: {dict(sorted(counts.items()))}")
    if counts["not named"] + counts["taken for whole"]:
        raise UserError("some damaged files were not named; see above")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, partial(campaign_arguments, name="--mutations", default=100), run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
