"""Applying a prompt template to a question. resources/templates.json has the templates by name.

A template is a text with the placeholders {question} and, if it takes a system prompt, {system}. `own` is the chat
template of the starting policy's tokenizer. The system prompt is the conversation's own, else that of prompt.system,
else the template's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dopr.config.data import PromptStyle
from dopr.data.chat_template import DATE, ChatTemplate
from dopr.data.conversation import ASSISTANT, SYSTEM, USER, Turn, TurnsError, turns_of
from dopr.data.sources import with_suffix
from dopr.errors import suggestion
from dopr.files import DataError, read_json
from dopr.records import Prompt

KNOWN = Path(__file__).parents[3] / "resources" / "templates.json"
OWN = "own"
QUESTION = "{question}"
PLACEHOLDERS = re.compile(r"\{(system|question)\}")


@dataclass(frozen=True)
class Template:
    """A named template.

    Attributes:
        name: Its name in the configuration.
        write: A function that turns a conversation into text, or raises TurnsError.
        system: The system prompt of conversations without a system turn, if any.
        suffix: Text that ends every question, added where it is missing.
        examples: Turns between the system turn and the conversation.
    """

    name: str
    write: Callable[[Sequence[Turn]], str]
    system: str | None = None
    suffix: str = ""
    examples: tuple[Turn, ...] = ()

    def render(self, question: str, before: Sequence[Turn] = ()) -> str:
        """Return the text of a question and the turns before it.

        Raises:
            TurnsError: The template does not take these turns.
        """
        system = [turn for turn in before if turn.role == SYSTEM]
        if not system and self.system is not None:
            system = [Turn(SYSTEM, self.system)]
        rest = [turn for turn in before if turn.role != SYSTEM]
        return self.write([*system, *self.examples, *rest, Turn(USER, with_suffix(question, self.suffix))])

    def apply(self, prompt: Prompt) -> Prompt:
        """Apply the template to a prompt.

        Raises:
            DataError: The template does not take some of its turns. The message names the prompt.
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
        """Return the template's name, the hash of all text around a question, and the date that `own` may write."""
        date = {"date": DATE} if self.name == OWN else {}
        return {"template": self.name, "sha256": hashlib.sha256(self.render(QUESTION).encode()).hexdigest(), **date}


def make_template(style: PromptStyle, model: str | None, revision: str | None = None) -> Template:
    """Return the template of the `prompt` section.

    Args:
        style: The `prompt` section of the configuration.
        model: The starting policy, whose tokenizer has the template `own`.
        revision: Its revision, if it is a model of the hub.

    Raises:
        DataError: There is no such template, or it takes no system prompt or no examples.
    """
    if style.template == OWN:
        return own_template(style, model, revision)
    known: dict[str, dict[str, str]] = read_json(KNOWN)
    if style.template not in known:
        raise DataError(f"prompt.template: there is no {style.template!r}{suggestion(style.template, [*known, OWN])}")
    if style.examples:
        raise DataError(f"prompt.examples: template {style.template} has no turns before the question; use {OWN}")
    template = known[style.template]
    if style.system is not None and "{system}" not in template["text"]:
        raise DataError(f"prompt.system: template {style.template} takes no system prompt; leave it null")
    suffix = template.get("suffix", "") if style.suffix is None else style.suffix
    return Template(style.template, writer(style.template, template), style.system, suffix)


def writer(name: str, template: dict[str, str]) -> Callable[[Sequence[Turn]], str]:
    """Return a function that writes a user turn, and a system turn if {system} is there, into a named template."""

    def write(turns: Sequence[Turn]) -> str:
        roles = [turn.role for turn in turns]
        if roles not in ([USER], [SYSTEM, USER]):
            raise TurnsError(f"template {name} cannot have turns of {', '.join(roles)}")
        if SYSTEM in roles and "{system}" not in template["text"]:
            raise TurnsError(f"template {name} takes no system turn")
        values = {"system": template.get("system", ""), "question": turns[-1].content}
        if SYSTEM in roles:
            values["system"] = turns[0].content
        return PLACEHOLDERS.sub(lambda match: values[match[1]], template["text"])

    return write


def own_template(style: PromptStyle, model: str | None, revision: str | None) -> Template:
    """Return the chat template of a model's tokenizer.

    Raises:
        DataError: There is no model, its tokenizer has no chat template, or the template leaves out the question or the
            system prompt.
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
