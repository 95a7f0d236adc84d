"""The chat template of a model's tokenizer, applied by transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dopr.data.conversation import Turn, TurnsError
from dopr.files import DataError

DATE = "26 Jul 2024"  # fixed, for templates that would write today's date
DAY = datetime.strptime(DATE, "%d %b %Y")
TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")  # transformers' function; it takes no other from us


class ChatTemplate:
    """The chat template of a model's tokenizer, as a function from a conversation to text.

    Args:
        model: A folder, or with a revision a model of the hub.

    Raises:
        DataError: The tokenizer has no chat template, or one that writes today's date in an unknown way.
    """

    def __init__(self, model: str, revision: str | None) -> None:
        from transformers import AutoTokenizer  # its import takes seconds

        self.model = model
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model, revision=revision)
        self._checked: set[tuple[str, ...]] = set()
        if not self.tokenizer.chat_template:
            raise DataError(f"prompt.template: the tokenizer of {model} has no chat template; name one of the others")
        self.tokenizer.chat_template = self._with_fixed_date(self.tokenizer.get_chat_template())

    def __call__(self, turns: Sequence[Turn]) -> str:
        """Return the text of a conversation, up to the point where the assistant continues.

        Raises:
            TurnsError: The template raises an error, or leaves out a turn.
        """
        self.check(*(turn.role for turn in turns))
        return self._render(turns)

    def check(self, *roles: str) -> None:
        """Check that the template writes every turn of a conversation with these roles exactly once.

        Raises:
            TurnsError: It does not. The message names the turn.
        """
        if roles in self._checked:
            return
        turns = [Turn(role, f"{{turn {index}}}") for index, role in enumerate(roles)]
        text = self._render(turns)
        for turn in turns:
            if text.count(turn.content) != 1:
                raise TurnsError(f"the chat template of {self.model} does not write the {turn.role} turn once")
        self._checked.add(roles)

    def _with_fixed_date(self, text: str) -> str:
        """Return the template with DATE for today's date, which would change the prompts from day to day."""
        fixed = TODAY.sub(lambda call: json.dumps(DAY.strftime(call[2])), text)
        if "strftime_now(" in fixed:
            raise DataError(
                f"prompt.template: the chat template of {self.model} writes today's date in a way that cannot be fixed "
                "(strftime_now); name one of the others"
            )
        return fixed

    def _render(self, turns: Sequence[Turn]) -> str:
        from jinja2 import TemplateError

        chat = [turn._asdict() for turn in turns]
        try:
            text: str = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, date_string=DATE
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(turn.role for turn in turns)
            message = " ".join(str(error).split())
            raise TurnsError(f"the chat template of {self.model} refuses turns of {roles} ({message})") from None
        return text
