"""How a question becomes what the policy reads: chat templates by name, from resources/templates.json.

A template is a text with the places {question} and, where a system prompt belongs, {system}. `own` is the chat template
that the starting policy's tokenizer brings along. The system prompt is the conversation's own, else that of the style,
else the template's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dopr.config.data import PromptStyle
from dopr.data.chat_template import ChatTemplate
from dopr.data.conversation import ASSISTANT, SYSTEM, USER, Turn, TurnsError, turns_of
from dopr.data.sources import with_suffix
from dopr.errors import suggestion
from dopr.files import DataError, read_json
from dopr.records import Prompt

KNOWN = Path(__file__).parents[3] / "resources" / "templates.json"
OWN = "own"
QUESTION = "{question}"
PLACES = re.compile(r"\{(system|question)\}")


@dataclass(frozen=True)
class Template:
    """A named template. write: the text of a conversation, or TurnsError; system: what a conversation begins with that
    has no system turn, if anything; suffix: what ends a question that does not end with it; examples: turns that come
    after the system's."""

    name: str
    write: Callable[[Sequence[Turn]], str]
    system: str | None = None
    suffix: str = ""
    examples: tuple[Turn, ...] = ()

    def render(self, question: str, before: Sequence[Turn] = ()) -> str:
        """The text that the policy reads, of a question and the turns before it.

        Raises:
            TurnsError: the template has no place for these turns.
        """
        first = [turn for turn in before if turn.role == SYSTEM]
        if not first and self.system is not None:
            first = [Turn(SYSTEM, self.system)]
        rest = [turn for turn in before if turn.role != SYSTEM]
        return self.write([*first, *self.examples, *rest, Turn(USER, with_suffix(question, self.suffix))])

    def apply(self, prompt: Prompt) -> Prompt:
        """A prompt that is yet to be written, in this template.

        Raises:
            DataError: the template has no place for some of its turns; names the prompt.
        """
        *before, last = turns_of(prompt)
        try:
            text = self.render(last.content, before)
        except TurnsError as problem:
            raise DataError(
                f"prompt {prompt.id}: {problem}; name another prompt.template, or one turn as the source's `question`, "
                "such as messages.-1.content"
            ) from None
        return Prompt(prompt.id, text, prompt.answer, prompt.family, prompt.category)

    def describe(self) -> dict[str, str]:
        """Its name and the hash of everything it puts around a question."""
        return {"template": self.name, "sha256": hashlib.sha256(self.render(QUESTION).encode()).hexdigest()}


def make_template(style: PromptStyle, model: str | None, revision: str | None = None) -> Template:
    """The template of a style; `model` is the starting policy, whose own template may be asked for, with its revision
    where it is one of the hub.

    Raises:
        DataError: there is no such template, or it has no place for a system prompt or for examples.
    """
    if style.template == OWN:
        return own_template(style, model, revision)
    known: dict[str, dict[str, str]] = read_json(KNOWN)
    if style.template not in known:
        raise DataError(f"prompt.template: there is no {style.template!r}{suggestion(style.template, [*known, OWN])}")
    if style.examples:
        raise DataError(f"prompt.examples: template {style.template} has no turns before the question; use {OWN}")
    found = known[style.template]
    if style.system is not None and "{system}" not in found["text"]:
        raise DataError(f"prompt.system: template {style.template} has no place for it; leave it null")
    suffix = found.get("suffix", "") if style.suffix is None else style.suffix
    return Template(style.template, writer(style.template, found), style.system, suffix)


def writer(name: str, template: dict[str, str]) -> Callable[[Sequence[Turn]], str]:
    """What writes one turn of the user, and one of the system where there is a place for it, into a named template."""

    def write(turns: Sequence[Turn]) -> str:
        roles = [turn.role for turn in turns]
        if roles not in ([USER], [SYSTEM, USER]):
            raise TurnsError(f"template {name} has no place for turns of {', '.join(roles)}")
        if SYSTEM in roles and "{system}" not in template["text"]:
            raise TurnsError(f"template {name} has no place for a system turn")
        filled = {"system": template.get("system", ""), "question": turns[-1].content}
        if SYSTEM in roles:
            filled["system"] = turns[0].content
        return PLACES.sub(lambda place: filled[place[1]], template["text"])

    return write


def own_template(style: PromptStyle, model: str | None, revision: str | None) -> Template:
    """The chat template of a model's tokenizer.

    Raises:
        DataError: there is no model, its tokenizer has no chat template, or that does not write a question, or the
            style's system prompt before it.
    """
    if model is None:
        raise DataError("prompt.template: own needs base.model; the embedded policy reads plain questions")
    chat = ChatTemplate(model, revision)
    try:
        chat.check(*([SYSTEM, USER] if style.system is not None else [USER]))
    except TurnsError as problem:
        fix = "set prompt.system to null, or name another" if style.system is not None else "name another"
        raise DataError(f"prompt.template: {problem}; {fix}") from None
    suffix = style.suffix or ""
    examples = [
        turn
        for example in style.examples
        for turn in (Turn(USER, with_suffix(example.question, suffix)), Turn(ASSISTANT, example.answer))
    ]
    return Template(OWN, chat, style.system, suffix, tuple(examples))
