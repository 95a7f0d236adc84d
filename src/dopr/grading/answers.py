r"""Extraction of the final answer from a completion.

boxed    the last complete \boxed{}, \fbox{} or \framebox{} that is not empty. Braces are matched; escaped braces are
         text. \boxed 5 without braces has the text after it, if that begins like mathematics
stated   without a box, what follows the last "answer is" or "answer:": the formula of the sentence, a number before
         words, or the sentence
any      without either, the last formula or number
qwen     as Qwen2.5-Math's evaluation code (parser.py, extract_answer): Minerva's "final answer is $5$. I hope"; else
         the content of the last box, closed or not; else all text after "he answer is" or "final answer is"; else the
         last number, which for a fraction is its denominator
exact    the whole completion, without surrounding white space
gsm8k    the text after the last ####, to the end of its line; an amount as a plain number
tags     the text between the last <answer> and </answer>, as reasoning-gym reads completions
"""

from __future__ import annotations

import re

from dopr.config.grading import Extraction

TOKEN = re.compile(r"\\+(?P<box>boxed|fbox|framebox)(?![a-zA-Z])\s*(?P<open>\{)?|\\.|[{}]", re.DOTALL)
BARE = re.compile(r"\$?\s*(?P<answer>(?=[-+\d.\\(])[^\s{}$;]*(?:\{[^{}\s]*\}[^\s{}$;]*)*)")
STATED = re.compile(r"\banswer\s*(?:is|:|=)\s*:?", re.IGNORECASE)
FORMULA = re.compile(r"\$\$?((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
SENTENCE = re.compile(r"[\s*]*(.*?)(?:\.?\s*(?:\n|$)|\.\s)", re.DOTALL)
NUMBER = re.compile(r"-?(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|-?\.\d+")
COUNTED = re.compile(rf"(?:[a-z]+ )*\\?\$?({NUMBER.pattern}) [a-z ]+", re.IGNORECASE)  # 12 apples
MARK = "####"
AMOUNT = re.compile(r"-?\s*(?:\\?\$)?\s*-?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)\.?")
TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
QWEN_MINERVA = re.compile(r"final answer is \$(.*?)\$\. I hope", re.DOTALL)
QWEN_NUMBER = re.compile(r"-?\d*\.?\d+")
BETWEEN = re.compile(
    r"(?:[\s$,;.&*]|\\[()\[\],;: \\]|\\q?quad(?![a-z])|\\text\s*\{[\s,]*(?:and|or)\s*\}|\b(?:and|or)\b"
    r"|(?<![a-zA-Z\\])[a-zA-Z](?:_\{?\w\}?)?\s*=)*"
)


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete \boxed{...}, or None. An empty one counts only if all are empty."""
    contents = [content for _, content, _ in boxes(text)]
    return next(filter(None, reversed(contents)), contents[-1] if contents else None)


def joined_boxes(text: str) -> str | None:
    r"""Join the contents of the last boxes if only `,`, `and` or names are between them; None for fewer than two.

    A solution with several answers may end so: `so x=\boxed{1} or x=\boxed{2}`.
    """
    found = [box for box in boxes(text) if box[1]]
    chain = found[-1:]
    for box in reversed(found[:-1]):
        if box[2] > chain[0][0] or not BETWEEN.fullmatch(text, box[2], chain[0][0]):
            break
        chain.insert(0, box)
    return ", ".join(dict.fromkeys(content for _, content, _ in chain)) if len(chain) > 1 else None


def boxes(text: str) -> list[tuple[int, str, int]]:
    """Return start, content and end of every complete box, sorted by start."""
    found: list[tuple[int, str, int]] = []
    opened: list[tuple[int, int] | None] = []  # for each open brace, the start of its box and of the content, or None
    for token in TOKEN.finditer(text):
        if token["box"] and token["open"]:
            opened.append((token.start(), token.end()))
        elif token["box"]:
            bare = BARE.match(text, token.end())
            if bare:
                found.append((token.start(), bare["answer"], bare.end()))
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened:
            box = opened.pop()
            if box:
                found.append((box[0], text[box[1] : token.start()].strip(), token.end()))
    return sorted(found)


def stated(text: str) -> str | None:
    """Return the text after the last "answer is" or "answer:", or None."""
    marks = list(STATED.finditer(text))
    sentence = SENTENCE.match(text, marks[-1].end()) if marks else None
    if sentence is None:
        return None
    formulas = [f for f in FORMULA.finditer(text, marks[-1].end()) if f.start() < sentence.end()]
    row = formulas[:1]
    for formula in formulas[1:]:
        if not BETWEEN.fullmatch(text, row[-1].end(), formula.start()):
            break
        row.append(formula)
    if row:
        return ", ".join(map(content, row))
    counted = COUNTED.fullmatch(sentence[1].strip(" *"))
    return counted[1] if counted else sentence[1].strip(" *") or None


def last_expression(text: str) -> str | None:
    """Return the last formula or number in the text, or None."""
    formulas, numbers = list(FORMULA.finditer(text)), list(NUMBER.finditer(text))
    if formulas and not (numbers and numbers[-1].start() >= formulas[-1].end()):
        return content(formulas[-1])
    return numbers[-1][0] if numbers else None


def content(formula: re.Match[str]) -> str:
    """Return what is between the delimiters of a formula."""
    return next(group for group in formula.groups() if group is not None).strip()


def qwen_answer(text: str) -> str | None:
    """Return the answer that Qwen2.5-Math's evaluation code extracts, on one line; None without one."""
    minerva = QWEN_MINERVA.search(text)
    if minerva:
        answer = minerva[1]
    elif "boxed" in text:
        rest = text.rpartition("boxed")[2]
        answer = inside_braces(rest) if rest.startswith("{") else rest.partition("$")[0]
    else:
        mark = next((mark for mark in ("he answer is", "final answer is") if mark in text), None)
        numbers = QWEN_NUMBER.findall(text.replace(",", ""))
        if mark is None and not numbers:
            return None
        answer = text.rpartition(mark)[2] if mark else numbers[-1]
    return re.sub(r"\n\s*", "", answer.strip()).removeprefix(":").removesuffix(".").removesuffix("/").strip()


def inside_braces(text: str) -> str:
    """Return the text between the opening brace at its start and the matching one, or the end."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:position]
    return text[1:]


def marked(text: str) -> str | None:
    """Return the rest of the line after the last ####, an amount as a plain number; None without it."""
    _, mark, rest = text.rpartition(MARK)
    found = rest.partition("\n")[0].strip() if mark else ""
    amount = AMOUNT.fullmatch(found)
    return "-" * ("-" in found) + amount[1].replace(",", "") if amount else found or None


def tagged(text: str) -> str | None:
    """Return the text between the last pair of answer tags, or None."""
    pairs = TAGS.findall(text)
    return pairs[-1].strip() or None if pairs else None


def final_answer(text: str, extraction: Extraction) -> str | None:
    """Extract the answer of a completion; None if there is none."""
    if extraction == "exact":
        return text.strip() or None
    if extraction == "gsm8k":
        return marked(text)
    if extraction == "tags":
        return tagged(text)
    if extraction == "qwen":
        return qwen_answer(text)
    answer = last_boxed(text)
    if answer is None and extraction != "boxed":
        answer = stated(text)
    if answer is None and extraction == "any":
        answer = last_expression(text)
    return answer
