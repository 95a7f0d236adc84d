"""The `dopr` command: what is run by hand, beside the pipeline.

A subcommand is a module with `add_arguments(parser)` and `run(args)`; its docstring is its help.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from dopr.errors import exit_with_one_line

COMMANDS = {  # name -> module
    "agreement": "dopr.commands.agreement",
    "base-accuracy": "dopr.commands.base_accuracy",
    "forms": "dopr.commands.forms",
    "lock": "dopr.commands.lock",
    "log": "dopr.commands.log",
    "overhead": "dopr.commands.overhead",
    "plan": "dopr.commands.plan",
    "ranking": "dopr.commands.ranking",
    "regrade": "dopr.commands.regrade",
    "replay": "dopr.commands.replay",
    "train": "dopr.commands.train",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one subcommand; a mistake of the user costs one line."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    args = make_parser(given[:1]).parse_args(given)
    exit_with_one_line(lambda: args.run(args))


def make_parser(wanted: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all subcommands; what it returns has the subcommand's function as `run`.

    wanted: where it names a subcommand, the others are not imported, which takes seconds, and packages that it does not
    need.
    """
    parser = argparse.ArgumentParser(prog="dopr", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        if set(wanted) & set(COMMANDS) and name not in wanted:
            continue
        command = importlib.import_module(module)
        text = command.__doc__ or ""
        added = commands.add_parser(name, help=text.partition("\n")[0], description=text)
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    main()
