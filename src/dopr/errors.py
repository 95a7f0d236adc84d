"""Errors that users can fix: they are shown as one line, with exit code 1."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable


class UserError(ValueError):
    """A problem that the user can fix; the message names the file or key, the value, and what to change."""


class ConfigError(UserError):
    """A configuration that cannot be run; the message is `KEY: PROBLEM` or `FILE: KEY: PROBLEM`."""


class RewardError(UserError):
    """A reward that cannot be computed, or cannot be used for training; the message names the prompt."""


def exit_with_one_line(main: Callable[[], None]) -> None:
    """Run the main function of a program; UserError and OSError exit with one line and code 1, Ctrl-C silently."""
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # the exit code of shells after Ctrl-C


def suggestion(name: str, known: list[str]) -> str:
    """Return `; did you mean 'NAME'?` with the nearest known name, or the list of known names."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"
