"""What a user sees when something is wrong with what they gave: one clear line, exit code 1."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable


class UserError(ValueError):
    """A problem the user can mend; the message names the file or key, the value, and what to change."""


class ConfigError(UserError):
    """A configuration that cannot be run; the message is one line: `key: problem`, or with the file before it."""


class RewardError(UserError):
    """A reward that cannot be given, or that nothing can be learned from; the message names the prompt."""


def exit_with_one_line(main: Callable[[], None]) -> None:
    """Run a program's main function; UserError and OSError become one line and exit code 1, and Ctrl-C is silent."""
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells report it; the next run goes on


def suggestion(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?`, or the list of what is known."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"
