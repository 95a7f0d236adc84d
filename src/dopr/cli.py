"""The `dopr` command: what is run by hand, beside the pipeline.

A subcommand is a module with `add_arguments(parser)` and `run(args)`; its docstring is its help.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from dopr.errors import exit_with_one_line

COMMANDS = (
    "agreement",
    "base-accuracy",
    "forms",
    "lock",
    "log",
    "overhead",
    "plan",
    "ranking",
    "regrade",
    "replay",
    "train",
)
EXTRAS = {  # of packages outside of `pipeline`
    "datasets": "hub",
    "gguf": "gguf",
    "packaging": "dev",
    "peft": "lora",
    "reasoning_gym": "reasoning-gym",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one subcommand; a mistake of the user, or a missing extra, costs one line."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        args = make_parser(given[:1]).parse_args(given)
        exit_with_one_line(lambda: args.run(args))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "dopr"):
            raise
        sys.exit(
            f"error: dopr {given[0]} needs {package}, which is not installed: "
            f"pip install --editable '.[{EXTRAS.get(package, 'pipeline')}]' in the clone"
        )


def make_parser(wanted: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all subcommands; what it parses has the subcommand's function as `run`.

    Args:
        wanted: The subcommand to be run. The others are listed and not imported, since they need other packages.

    Raises:
        ModuleNotFoundError: If the wanted subcommand needs a package that is not installed.
    """
    parser = argparse.ArgumentParser(prog="dopr", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        text = docstring(name)
        added = commands.add_parser(name, help=text.partition("\n")[0], description=text)
        if name in wanted:
            command = importlib.import_module(f"dopr.commands.{name.replace('-', '_')}")
            command.add_arguments(added)
            added.set_defaults(run=command.run)
    return parser


def docstring(name: str) -> str:
    """Return the docstring of a subcommand's module, without importing the module."""
    source = Path(__file__).with_name("commands") / f"{name.replace('-', '_')}.py"
    return ast.get_docstring(ast.parse(source.read_text()), clean=False) or ""


if __name__ == "__main__":
    main()
