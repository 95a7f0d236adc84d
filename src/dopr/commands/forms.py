r"""What the grader accepts: every reference answer of the six benchmarks, as it is and written in other ways.

A form rewrites a reference, where it applies; most forms say the same and must be accepted, some say something else and
must not be. The table has accepted/tried for each form and benchmark; what came out otherwise is listed below it.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from dopr.commands.replay import positive
from dopr.config.grading import OFFLINE, ProfileName, Verify
from dopr.data.sources import known_sources, load_source
from dopr.grading.grader import Grader
from dopr.grading.structure import shape
from dopr.grading.tidy import words

BENCHMARKS = ("math500", "aime24", "aime25", "amc23", "minerva_math", "olympiadbench")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
Rewrite = Callable[[str], str | None]


def changed(pattern: str, replacement: str) -> Rewrite:
    """Return a form that replaces a pattern, and applies to references that contain it."""

    def rewrite(text: str) -> str | None:
        new = re.sub(pattern, replacement, text)
        return new if new != text else None

    return rewrite


def around(before: str, after: str, pattern: str = r"(?s).+") -> Rewrite:
    """Return a form that puts text around references that match a pattern."""
    return lambda text: before + text + after if re.fullmatch(pattern, text) else None


def thousands(text: str) -> str | None:
    """Rewrite 1234567 as 1,234,567, and back."""
    if re.fullmatch(r"-?\d{4,}", text):
        return f"{int(text):,}"
    return text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", text) else None


def decimal(text: str) -> str | None:
    """Rewrite a fraction as a decimal, if that has at most six digits."""
    match = FRACTION.fullmatch(text)
    if not match:
        return None
    value = Fraction(int(match[1] + match[2]), int(match[3]))
    exact = value * 10**6
    return f"{Decimal(int(exact)) / 10**6}" if exact.denominator == 1 else None


def fraction(text: str) -> str | None:
    """Rewrite a decimal as a fraction."""
    if not re.fullmatch(r"-?\d*\.\d+", text):
        return None
    value = Fraction(text)
    return rf"{'-' * (value < 0)}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def backwards(kind: str) -> Rewrite:
    """Return a form that reverses a collection or a tuple (`kind`)."""

    def rewrite(text: str) -> str | None:
        parsed = shape(text)
        if parsed.kind != kind or r"\pm" in text or "=" in text or r"\in" in text:
            return None
        parts = [part.text for part in parsed.parts]
        if kind == "collection":
            return ", ".join(reversed(parts))
        return parsed.brackets[0] + ", ".join(reversed(parts)) + parsed.brackets[1] if parts != parts[::-1] else None

    return rewrite


def joined(text: str) -> str | None:
    """Rewrite a list with `and` before its last part."""
    parsed = shape(text)
    if parsed.kind != "collection" or len(parsed.parts) < 2 or r"\pm" in text or "=" in text or "{" in text[:2]:
        return None
    *parts, last = [part.text for part in parsed.parts]
    return ", ".join(parts) + r" \text{ and } " + last


def other_bracket(text: str) -> str | None:
    """Change the first bracket of an interval from open to closed or back."""
    parsed = shape(text)
    if parsed.kind != "tuple" or len(parsed.parts) != 2:
        return None
    return {"(": "[", "[": "("}[parsed.brackets[0]] + ", ".join(p.text for p in parsed.parts) + parsed.brackets[1]


def wrapped(command: str) -> Rewrite:
    """Return a form that puts words in another command, or in none."""

    def rewrite(text: str) -> str | None:
        match = re.fullmatch(r"\\text\{([^{}]+)\}", text)
        return (rf"{command}{{{match[1]}}}" if command else match[1]) if match else None

    return rewrite


def next_number(text: str) -> str | None:
    """Add one unit in the last decimal of a number."""
    match = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?", text)
    if not match:
        return None
    decimals = len(match[3] or "")
    return f"{Decimal(text) + Decimal(1).scaleb(-decimals)}"


def other_digit(text: str) -> str | None:
    """Raise the first digit of an expression by one; plain numbers are left to `next_number`."""
    if NUMBER.fullmatch(text) or not re.search(r"\d", text):
        return None
    return re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), text, count=1)


FORMS: dict[str, Rewrite] = {
    "itself": lambda text: text,
    "spaces": changed(r"(?<![\\\w{_^])\s*([+=]|,(?!\d{3}))\s*", r" \1 "),
    r"\dfrac": changed(r"\\[dt]?frac", r"\\dfrac"),
    r"\tfrac": changed(r"\\[dt]?frac", r"\\tfrac"),
    r"\frac12": changed(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    r"\sqrt2": changed(r"\\sqrt\{(\d)\}", r"\\sqrt\1"),
    r"a/b": changed(r"^(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3"),
    r"\left \right": lambda t: None if r"\left" in t else changed(r"([(\[])(.*)([)\]])", r"\\left\1\2\\right\3")(t),
    "no word command": wrapped(""),
    r"\mathrm{word}": wrapped(r"\mathrm"),
    r"\textbf{word}": wrapped(r"\textbf"),
    "degree sign": around("", r"^\circ", NUMBER.pattern),
    "no degree sign": changed(r"\^\{?\\circ\}?", ""),
    r"\text{ cm}": around("", r"\text{ cm}", NUMBER.pattern),
    r"\mathrm{~m/s}": around("", r"\,\mathrm{~m/s}", NUMBER.pattern),
    r"\$": around(r"\$", "", r"\d+(\.\d+)?"),
    "percent": around("", r"\%", r"\d+"),
    "thousands": thousands,
    r"thousands {,}": lambda text: (new := thousands(text)) and new.replace(",", "{,}"),
    "decimal": decimal,
    "fraction": fraction,
    "12.0": around("", ".0", r"-?\d+"),
    "power of ten": changed(r"^(-?[\d.]+)[eE]\+?(-?\d+)$", r"\1 \\times 10^{\2}"),
    "full stop": around("", "."),
    "$ $": lambda text: None if "$" in text else f"${text}$",
    r"\( \)": lambda text: None if "$" in text else rf"\({text}\)",
    "x =": lambda text: None if re.search(r"=|\\in|\\ge|\\le|\\text\{[^ ]|,", text) else f"x = {text}",
    "minus sign": changed(r"-(?=\d)", "−"),
    "\\bmatrix": changed(r"\{pmatrix\}", "{bmatrix}"),
    "base in braces": changed(r"^(\d+)_(\d)$", r"\1_{\2}"),
    "list backwards": backwards("collection"),
    r"\text{ and }": joined,
}
DIFFERENT: dict[str, Rewrite] = {
    "next number": next_number,
    "other digit": other_digit,
    "+ for -": changed(r"(?<=[\w)}] )-|(?<=[\w)}])-", "+"),
    "other sign": lambda text: f"-{text}" if NUMBER.fullmatch(text) and text[0] != "-" and float(text) else None,
    "tuple backwards": backwards("tuple"),
    "other bracket": other_bracket,
    "other base": changed(r"^(\d+)_\{?(\d)\}?$", r"\1_{1\2}"),
    "a word": lambda text: r"\text{neither}" if words(text) != "neither" else None,
}


def references(mirror: Path | None, sources: Sequence[str] = BENCHMARKS) -> Iterator[tuple[str, str]]:
    """Yield the source and the reference answer of every row.

    Raises:
        DataError: a source cannot be read.
    """
    for name in sources:
        for prompt in load_source(name, known_sources()[name], mirror).prompts:
            yield name, prompt.answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", type=Path, help="folder with the public files (default: DOPR_DATA, or downloads)")
    parser.add_argument("--sources", nargs="+", choices=list(known_sources()), default=BENCHMARKS)
    parser.add_argument("--profile", choices=get_args(ProfileName), default="dopr")
    parser.add_argument("--workers", type=positive, default=2)


def run(args: argparse.Namespace) -> None:
    """Grade every form of every reference, and print the table and its exceptions."""
    tried = cases(references(args.data, args.sources))
    limits = Verify(**OFFLINE, profile=args.profile, workers=args.workers)
    with Grader(limits) as grader:
        print(f"Grader: {grader.version}\n")
        verdicts = grader.grade([(reference, rf"\boxed{{{text}}}") for _, _, reference, text in tried])
    print(table(tried, verdicts, args.sources))
    wrong = [(case, v) for case, v in zip(tried, verdicts, strict=True) if (v == "correct") == (case[1] in DIFFERENT)]
    print(f"\nExceptions, {len(wrong):,} of {len(tried):,}:\n")
    for (benchmark, form, reference, text), verdict in wrong:
        print(f"- {benchmark}, {form}: `{reference}` against `{text}` is {verdict}")


def cases(rows: Iterator[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return benchmark, form, reference and rewritten reference for all forms that apply, without duplicates."""
    unique: dict[tuple[str, str, str, str], None] = {}
    for benchmark, reference in rows:
        bare = reference.strip("$") if reference.count("$") == 2 else reference
        for form, rewrite in (FORMS | DIFFERENT).items():
            text = rewrite(bare)
            if text is not None:
                unique[benchmark, form, reference, text] = None
    return list(unique)


def table(tried: list[tuple[str, str, str, str]], verdicts: list[Any], sources: Sequence[str] = BENCHMARKS) -> str:
    """Return accepted/tried by form and source, as Markdown."""
    counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for (benchmark, form, _, _), verdict in zip(tried, verdicts, strict=True):
        counts[form, benchmark].append(verdict == "correct")
    lines = ["| form | " + " | ".join(sources) + " |", "|---|" + "---:|" * len(sources)]
    for title, forms in (("says the same", FORMS), ("says something else", DIFFERENT)):
        lines.append(f"| *{title}* |" + " |" * len(sources))
        for form in forms:
            cells = [counts.get((form, benchmark)) for benchmark in sources]
            lines.append(f"| `{form}` | " + " | ".join(f"{sum(c)}/{len(c)}" if c else "" for c in cells) + " |")
    return "\n".join(lines)
