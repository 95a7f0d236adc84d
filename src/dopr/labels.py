"""How methods are called in tables and figures.

A name without an entry is shown without underscores; if it begins with one that has an entry, by that one and the
rest: `grpo_random` is "GRPO, random".
"""

from __future__ import annotations

import re

REUSE = "_reuse"
TOP = re.compile(r"top_(\d+)$")
LABELS = {
    "base": "base policy",
    "grpo": "GRPO",
    "dopr": "DoPR",
    "dopr_cold": "DoPR, no profile",
    "dopr_text": "DoPR, similar texts",
    "dopr_text_rft": "DoPR, similar texts, RFT",
    "dopr_hidden": "DoPR, similar states",
    "dopr_label": "DoPR, labels (bound)",
    "grpo_small": "GRPO, small batch",
    "grpo_long": "GRPO, long",
    "rft": "RFT",
    "random_one": "random-1",
    "max_variance_one": "max-variance-1",
    "max_variance": "max-variance",
    "one_shot": "1-shot",
    "fixed": "fixed set",
    "lim": "LIMR",
    "ucb": "UCB",
    "dapo": "DAPO",
    "greso": "GRESO",
    "mopps": "MoPPS",
    "speed": "SPEED",
}


def counterpart(method: str) -> str:
    """The method without reuse: `dopr` for `dopr_reuse`."""
    return method.removesuffix(REUSE)


def label(method: str) -> str:
    """The display name of a method."""
    name = counterpart(method)
    top = TOP.match(name)
    shown = f"top {top[1]}" if top else LABELS.get(name) or _by_its_beginning(name)
    return shown + (" + reuse" if name != method else "")


def _by_its_beginning(name: str) -> str:
    known = [begin for begin in LABELS if name.startswith(f"{begin}_")]
    if not known:
        return name.replace("_", " ")
    begin = max(known, key=len)
    return f"{LABELS[begin]}, {name.removeprefix(begin)[1:].replace('_', ' ')}"
