"""Questions that are conversations: turns of system, user and assistant, which a chat template turns into text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dopr.records import Prompt

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


class Turn(NamedTuple):
    """One message of a chat."""

    role: str
    content: str


class TurnsError(ValueError):
    """A conversation that a template cannot write. The message says why."""


@dataclass(frozen=True)
class Conversation(Prompt):
    """A prompt of several turns, before a template is applied.

    `text` is the content of the turns without the system turn. Questions are compared by it.
    """

    turns: tuple[Turn, ...] = ()


def turns_of(prompt: Prompt) -> tuple[Turn, ...]:
    """Return the turns of a prompt before a template is applied. A question alone is one user turn."""
    return prompt.turns if isinstance(prompt, Conversation) else (Turn(USER, prompt.text.removesuffix("\n")),)


def read_turns(value: Any) -> tuple[Turn, ...]:
    """Turn a question or a list of chat messages into turns. A system turn must be first, and a user turn last.

    Raises:
        TypeError: The value is invalid. The message continues `field 'prompt' is '...', `.
    """
    if isinstance(value, str) and value.strip():
        return (Turn(USER, value),)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise TypeError("and neither text nor a list of chat messages; every row needs some")
    turns = tuple(map(_turn, value))
    if turns[-1].role != USER:
        raise TypeError(f"and its last turn is the {turns[-1].role}'s; the policy answers the user: end it there")
    if any(turn.role == SYSTEM for turn in turns[1:]):
        raise TypeError("and has a system turn after the first turn; begin with it, or take it out")
    return turns


def _turn(message: Any) -> Turn:
    role, content = (message.get(key) if isinstance(message, dict) else None for key in Turn._fields)
    if role not in (SYSTEM, USER, ASSISTANT) or not isinstance(content, str) or not content.strip():
        raise TypeError(
            f"where {str(message)[:60]!r} is no message of a role, {SYSTEM}, {USER} or {ASSISTANT}, and content, a text"
        )
    return Turn(role, content)
