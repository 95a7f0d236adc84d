r"""Finding the final answer of a completion."""

from __future__ import annotations

MARK = "\\boxed{"


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete \boxed{...}, braces matched; None when there is none."""
    start = text.rfind(MARK)
    while start != -1:
        content = _up_to_matching_brace(text, start + len(MARK))
        if content is not None:
            return content
        start = text.rfind(MARK, 0, start)
    return None


def _up_to_matching_brace(text: str, start: int) -> str | None:
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i].strip()
    return None
