"""Run the pipeline in surroundings that users have, and compare with a run in these.

    python benchmarks/surroundings.py

Each has the same bytes as results, or fails with what Snakemake printed. `together` has all of them at once. A locale
that the machine lacks is left out with a line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dopr.errors import UserError
from program import run_program
from reduced_pipeline import Pipeline, check, undisturbed


@dataclass(frozen=True)
class Surroundings:
    """What differs from the usual."""

    folder: str = "project"
    environment: dict[str, str | None] = field(default_factory=dict)
    umask: int = -1
    linked: bool = False  # results is a symbolic link to a folder elsewhere

    def create(self, folder: Path) -> Pipeline:
        """Make a pipeline in these surroundings."""
        pipeline = Pipeline(folder / self.folder, environment=self.environment, umask=self.umask).create()
        if self.linked:
            (pipeline.folder / "results").rename(folder / "elsewhere")
            (pipeline.folder / "results").symlink_to(folder / "elsewhere")
        return pipeline


STRANGE = 'o\'brien ü "x" $y'
SCHEDULER: dict[str, str | None] = {"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "5"}
CASES = {
    "path": Surroundings(folder=STRANGE),
    "no home": Surroundings(environment={"HOME": None}),
    "C locale": Surroundings(environment={"LC_ALL": "C"}),
    "comma locale": Surroundings(environment={"LC_ALL": "de_DE.UTF-8"}),
    "Latin-1 locale": Surroundings(environment={"LC_ALL": "de_DE.ISO-8859-1"}),
    "umask 077": Surroundings(umask=0o077),
    "results linked": Surroundings(linked=True),
    "scheduler": Surroundings(environment=SCHEDULER),
    "together": Surroundings(STRANGE, {"HOME": None, "LC_ALL": "C", **SCHEDULER}, 0o077, True),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--folder", type=Path, help="for the runs (default: a temporary one)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))


def has_locale(name: str) -> bool:
    """Return whether this machine has a locale."""
    code = "import locale, sys; locale.setlocale(locale.LC_ALL, sys.argv[1])"
    return subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=False).returncode == 0


def run(args: argparse.Namespace) -> None:
    """Run every case and print what came out.

    Raises:
        UserError: A run failed or has other results.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-surroundings-"))
    expected, _ = undisturbed(folder / "undisturbed")
    failed = []
    for name in args.cases:
        case, place = CASES[name], folder / name.replace(" ", "-")
        locale = case.environment.get("LC_ALL")
        if locale and not has_locale(locale):
            print(f"{name}: this machine does not have {locale}", flush=True)
            continue
        try:
            pipeline = case.create(place)
            pipeline.finish()
            check(pipeline, expected)
            print(f"{name}: the same bytes", flush=True)
        except UserError as error:
            failed.append(name)
            print(f"{name}: {error}", flush=True)
    if failed:
        raise UserError(f"{', '.join(failed)}: not the same; see above")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
