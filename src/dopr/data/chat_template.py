"""The chat template that a model's tokenizer brings along, read through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dopr.data.conversation import Turn, TurnsError
from dopr.files import DataError

DATE = "26 Jul 2024"  # for templates that would write today's


class ChatTemplate:
    """Writes conversations as the chat template of a model's tokenizer does.

    Args:
        model: a folder, or with a revision a model of the hub.

    Raises:
        DataError: the tokenizer has no chat template.
    """

    def __init__(self, model: str, revision: str | None) -> None:
        from transformers import AutoTokenizer  # its import takes seconds

        self.model = model
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model, revision=revision)
        self._checked: set[tuple[str, ...]] = set()
        if not self.tokenizer.chat_template:
            raise DataError(f"prompt.template: the tokenizer of {model} has no chat template; name one of the others")

    def __call__(self, turns: Sequence[Turn]) -> str:
        """The text of a conversation, up to where the assistant goes on.

        Raises:
            TurnsError: the template refuses it, or leaves out one of its turns.
        """
        self.check(*(turn.role for turn in turns))
        return self._render(turns)

    def check(self, *roles: str) -> None:
        """Conversations of these roles are written with every turn in its place, once.

        Raises:
            TurnsError: they are not; names the turn.
        """
        if roles in self._checked:
            return
        marks = [Turn(role, f"{{turn {place}}}") for place, role in enumerate(roles)]
        text = self._render(marks)
        for mark in marks:
            if text.count(mark.content) != 1:
                raise TurnsError(f"the chat template of {self.model} does not write the {mark.role} turn once")
        self._checked.add(roles)

    def _render(self, turns: Sequence[Turn]) -> str:
        from jinja2 import TemplateError

        chat = [turn._asdict() for turn in turns]
        try:
            text: str = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, date_string=DATE
            )
        except TemplateError as error:
            roles = ", ".join(turn.role for turn in turns)
            said = " ".join(str(error).split())
            raise TurnsError(f"the chat template of {self.model} refuses turns of {roles} ({said})") from None
        return text
