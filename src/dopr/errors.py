"""What a user sees when something is wrong with what they gave: one clear line, exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(ValueError):
    """A problem the user can mend; the message names the file or key, the value, and what to change."""


def exit_with_one_line(main: Callable[[], None]) -> None:
    """Run a program's main function; a UserError or an operating-system error becomes one line and exit code 1."""
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
