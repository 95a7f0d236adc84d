r"""Normalisation of LaTeX to one spelling: the first step of the profile math_verify, before any parsing.

Only the spelling changes. Spacing, sizes, fonts, thousands separators, degree signs and a final full stop are removed.
\dfrac becomes \frac, a sign outside ASCII becomes its command, and 4.5e33 becomes a power of ten.
"""

from __future__ import annotations

import re
from collections.abc import Callable

CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "∗": "*",
        "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
        "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "²": "^2", "³": "^3", "⁴": "^4",
        "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "θ": r"\theta ", "α": r"\alpha ",
        "β": r"\beta ", "λ": r"\lambda ", "ω": r"\omega ", "μ": r"\mu ", "′": "'", "’": "'", "，": ",", "％": "%",
        "（": "(", "）": ")", "：": ":", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "€": "", "£": "",
        "¥": "", "₹": "",
    }
)  # fmt: skip
DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z]))")
BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
GREEK = "pi|infty|alpha|beta|gamma|delta|epsilon|zeta|theta|kappa|lambda|mu|rho|sigma|tau|phi|psi|omega"
RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"(?<!\\)\\\\(?=[a-zA-Z]{2,}(?![a-zA-Z]|\s*[=<>&]))", r"\\"),  # \\frac, escaped twice, not a row that begins x = 1
    (r"(=[^\n]*)\n+(?=\s*[^\s=][^\n]*=)", r"\1 \\\\ "),  # equations on lines
    (r"\\(?:begin|end)\s*\{(?:cases|(?:align|aligned|gather|gathered|split|equation)\*?)\}", ""),
    (r"\\\\\s*&?\s*(?==)", ""),  # a line that goes on with =
    (r"\.\.\.|…|\\[cd]?dots[cb]?(?![a-zA-Z])", r"\\ldots "),
    (r"(\d+)\.(\d*?)(\d+?)\3{2,}\\ldots ", lambda m: repeating(*m.groups())),  # 0.1666...
    (r"(<=|=<)|(>=)|!=", lambda m: r"\le " if m[1] else r"\ge " if m[2] else r"\ne "),
    (r"\\(le|ge|ne)q(?:slant)?(?![a-zA-Z])", r"\\\1"),
    (r"(?<!\\)\\[()\[\]]|\\?\$", ""),  # delimiters of mathematics, currency
    (r"\s*(?:\\pmod\s*\{[^{}]*\}|\\(?:b?mod|pmod)\s*\d+|\\text\s*\{\s*\(?mod(?:ulo)?[\s\d)]*\}\s*\d*\)?)[\s.]*$", ""),
    (r"(?<=\d)\s*(?:\^\s*)?\{?\s*(?:\\(?:text|mathrm|rm)\s*\{?\s*)?(?:st|nd|rd|th)[}\s.]*$", ""),  # an ordinal's end
    (r",?\s*(?:\\q?quad\s*)?(?:(?:\\text\s*\{[\s,]*)?for (?:all|every|any|each)\b|\\forall(?![a-zA-Z])).*$", ""),
    (r"\\(?:(?:display|text)style|(?:no)?limits|bf|rm|it|underline|boldsymbol|ensuremath)(?![a-zA-Z])", ""),
    (r"\\(?:text)?color\s*\{[^{}]*\}|\\(?:left|right|[bB]igg?[lrm]?|mleft|mright)(?![a-zA-Z])\s*\.?|\\!", ""),
    (r"\{,\}", ","),
    (r"\\(?:quad|qquad|enspace|thinspace|hspace\*?\{[^{}]*\})(?![a-zA-Z])|(?<!\\)\\[,;: >]|~", " "),
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\frac\s*(\\(?!sqrt|text)[a-zA-Z]+|[a-zA-Z\d])", r"\\frac{\1}"),
    (rf"(\\frac\s*{BRACED})\s*(\\(?!sqrt|text)[a-zA-Z]+|[a-zA-Z\d])", r"\1{\2}"),
    (r"(?<=\d)\((?=[\d.]+\))", r" \\cdot ("),
    (r"√\s*(\w+|\{[^{}]*\}|\([^()]*\))", lambda m: rf"\sqrt{{{m[1].strip('(){}')}}}"),
    (r"\\([lr])angle(?![a-zA-Z])", lambda m: "()"[m[1] == "r"]),
    (r"\\log_\{?e\}?(?![a-zA-Z])", r"\\ln "),
    (r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|\\prime(?![a-zA-Z]))", lambda m: "'" * (m[1] or "\\").count("\\")),
    (r"\\overline\s*\{\s*([A-Z]{2,})\s*\}", r"\1"),  # a line through points
    (r"\\(?:math(?:bf|it|sf|tt)|bm|vec)\s*\{\s*([a-zA-Z])\s*\}", r" \1"),  # a letter is a variable
    (r"\\(?:math(?:rm|bf|it|sf|tt)|text(?:rm|bf|it|normal|sf|up)|mbox|hbox)(?![a-zA-Z])", r"\\text"),
    (r"^\\text\s*\{\s*(?:(?:[Tt]he\s+)?(?:final\s+)?[Aa]nswer\s*(?:is\b)?\s*:?|Rs\.?)\s*", r"\\text{"),
    (r"(?<=\d)\s*(\\text\s*\{)?\s*(thousand|million|billion|trillion)(?![a-z])", lambda m: power_of_ten(*m.groups())),
    (r"\\(begin|end)\s*\{(?:[bBp]?matrix|array)\}(?:\s*\{[lcr|\s]*\})?", r"\\\1{pmatrix}"),
    (r"^.*\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z]).*$", lambda m: in_radians(m[0])),
    (r"\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree|\\text\s*\{\s*(?:°|\^\\circ)\s*\}", ""),
    (r"(?<![\w\\}])(\d+(?:\.\d*)?|\.\d+)[eE]([-+]?\d+)(?!\d|\.\d)", r"\1 \\times 10^{\2}"),
    (r"(?<=\d)\.(?!\d|\\(?:overline|bar|dot))", ""),  # 1./3, and a final full stop
    (r"\b(?:np|math|sympy)\.(?=[a-z])", ""),
    (r"\*\*(?=[\d(\-{a-z])", "^"),
    (rf"(?<![\\a-zA-Z])({GREEK})(?![a-zA-Z])", r"\\\1"),
    (r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|ln|log|exp)(?=\s*[\d(\\^_{])", r"\\\1"),
    (r"(\d+)\.(\d*)\\(?:overline|bar|dot)\s*\{?(\d+)\}?", lambda m: repeating(*m.groups())),
    (r"^\\text\s*\{\s*((?:\d|\([A-J]\)\s*,)[^{}]*)\}$", r"\1"),  # 12 apples, (A), (C)
    (r"^\](?=[^\[\]]*[\[\]]$)", "("),  # ]0, 1[
    (r"(?<=[\[(])([^\[\]]*,[^\[\]]*)\[$", r"\1)"),
    (r"\s+", " "),
    (r"^-?\d{1,3}(?: \d{3})+(?:\.\d+)?$", lambda m: m[0].replace(" ", "")),
    (r"(?<![\d.^_}])(\d+) (\d+)/(\d+)(?!\d)", r"\1\\frac{\2}{\3}"),  # a mixed number
]  # fmt: skip


def power_of_ten(brace: str | None, name: str) -> str:
    """Write million as times 10^6. `brace` is the text command around the word, if any."""
    zeros = 3 * (1 + ("thousand", "million", "billion", "trillion").index(name))
    return rf" \times 10^{{{zeros}}}{brace or ''}"


def in_radians(text: str) -> str:
    """Convert angles in degrees to parts of pi."""
    return DEGREES.sub(r"(\\frac{\1 \\pi}{180})", text)


def repeating(whole: str, fixed: str, repeated: str) -> str:
    """Write a repeating decimal as a fraction: 0.1 with 6 repeated is 15/90."""
    denominator = (10 ** len(repeated) - 1) * 10 ** len(fixed)
    return rf"\frac{{{int(whole + fixed + repeated) - int(whole + fixed)}}}{{{denominator}}}"


COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in RULES]
MARKED = re.compile(r"\\text\s*\{([^{}]*)\}")
ARTICLE = re.compile(r"^(?:(?:an?|the) (?=[a-z]{3})|(?:option|choice) (?=\(?[A-J]\)?$))", re.IGNORECASE)
EDGES = re.compile(r"^[\s.,:;]*(?:=\s*)?|[\s.,:;]+$")


def tidy(text: str) -> str:
    """Normalise a text to one spelling."""
    text = text.translate(CHARACTERS)
    text = re.sub(r"^(\*\*|`)(.*)\1$", r"\2", text.strip())
    for pattern, replacement in COMPILED:
        text = pattern.sub(replacement, text)
    text = EDGES.sub("", re.sub(r"(?<=^)\.(?=\d)", "0.", text))
    return text.strip()


def squeezed(text: str) -> str:
    """Remove spaces, except those between two digits or two letters."""
    return re.sub(r"(?<=\d) (?=\d)|(?<=[a-zA-Z]) (?=[a-zA-Z])|( )", lambda m: "" if m[1] else " ", text)


def unmarked(text: str) -> str:
    r"""Remove \text around words."""
    return MARKED.sub(r"\1", text)


def words(text: str) -> str | None:
    r"""Return the plain words of a text in lower case; None for mathematics. `\text{(C)}`, `(C)` and `C` are "c"."""
    bare = unmarked(text)
    marked = bare != text
    bare = re.sub(r"[\s.,;:!?'\"-]+", " ", bare).strip()
    bare = ARTICLE.sub("", bare)
    choice = re.fullmatch(r"\(?([A-J])\)?", bare)
    if choice:
        return choice[1].lower()
    plain = re.fullmatch(r"[a-zA-Z][a-zA-Z ()]*", bare)
    if not plain or not (marked or re.search(r"[a-zA-Z]{3}", bare)):
        return None
    return bare.lower()
