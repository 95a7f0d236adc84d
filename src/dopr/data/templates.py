"""How a question becomes what the policy reads: chat templates by name, from resources/templates.json.

A template is a text with the places {question} and, where a system prompt belongs, {system}. `own` is the chat template
that the starting policy's tokenizer brings along, read through transformers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dopr.data.section import PromptStyle
from dopr.data.sources import with_suffix
from dopr.errors import suggestion
from dopr.files import DataError, read_json
from dopr.records import Prompt

KNOWN = Path(__file__).parents[3] / "resources" / "templates.json"
OWN = "own"
QUESTION = "{question}"
DATE = "26 Jul 2024"  # for templates that would write today's


@dataclass(frozen=True)
class Template:
    """A named template with its system prompt filled in; suffix: what ends a question that does not end with it."""

    name: str
    text: str
    suffix: str = ""

    def render(self, question: str) -> str:
        """The text that the policy reads."""
        return self.text.replace(QUESTION, with_suffix(question, self.suffix))

    def apply(self, prompt: Prompt) -> Prompt:
        """A prompt of the plain style in this one."""
        return replace(prompt, text=self.render(prompt.text.removesuffix("\n")))

    def describe(self) -> dict[str, str]:
        """Its name and the hash of everything it puts around a question."""
        return {"template": self.name, "sha256": hashlib.sha256(self.render(QUESTION).encode()).hexdigest()}


def make_template(style: PromptStyle, model: str | None, revision: str | None = None) -> Template:
    """The template of a style; `model` is the starting policy, whose own template may be asked for, with its revision
    where it is one of the hub.

    Raises:
        DataError: there is no such template, or it has no place for a system prompt.
    """
    if style.template == OWN:
        return Template(OWN, own_text(model, revision, style.system), style.suffix or "")
    known: dict[str, dict[str, str]] = read_json(KNOWN)
    if style.template not in known:
        raise DataError(f"prompt.template: there is no {style.template!r}{suggestion(style.template, [*known, OWN])}")
    found = known[style.template]
    if style.system is not None and "{system}" not in found["text"]:
        raise DataError(f"prompt.system: template {style.template} has no place for it; leave it null")
    system = found.get("system", "") if style.system is None else style.system
    if QUESTION in system:
        raise DataError(f"prompt.system: must not hold {QUESTION}")
    suffix = found.get("suffix", "") if style.suffix is None else style.suffix
    return Template(style.template, found["text"].replace("{system}", system), suffix)


def own_text(model: str | None, revision: str | None, system: str | None) -> str:
    """What the chat template of a model's tokenizer writes around a question.

    Raises:
        DataError: there is no model, its tokenizer has no chat template, or that does not write the question once.
    """
    if model is None:
        raise DataError("prompt.template: own needs base.model; the embedded policy reads plain questions")
    from transformers import AutoTokenizer  # its import takes seconds

    tokenizer: Any = AutoTokenizer.from_pretrained(model, revision=revision)
    if not tokenizer.chat_template:
        raise DataError(f"prompt.template: the tokenizer of {model} has no chat template; name one of the others")
    chat = [{"role": "system", "content": system}] if system is not None else []
    chat += [{"role": "user", "content": QUESTION}]
    text: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, date_string=DATE)
    if len(re.findall(re.escape(QUESTION), text)) != 1:
        raise DataError(f"prompt.template: the chat template of {model} does not write the question once; name another")
    return text
