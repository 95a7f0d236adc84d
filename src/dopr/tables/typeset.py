"""Tables as CSV (numbers), Markdown, LaTeX (booktabs) and HTML; the same table gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from dopr.files import write_text

LONG = 45  # rows that fit on a page
HTML_STYLE = (
    "body{{font:14px sans-serif}}table{{border-collapse:collapse}}"
    "th,td{{padding:3px 9px;text-align:right;border-bottom:1px solid #ddd}}"
    "th:nth-child(-n+{0}),td:nth-child(-n+{0}){{text-align:left}}"
)
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "–": "--",
    "→": r"$\to$",
}


@dataclass(frozen=True)
class Table:
    """A table: `numbers` for the CSV; for readers a header, rows with `left` left-aligned columns, and notes."""

    numbers: pd.DataFrame
    header: list[str]
    rows: list[list[str]]
    left: int
    notes: Sequence[str] = ()

    def write(self, path: Path) -> None:
        """Write path.csv, path.md, path.tex and path.html (`path` has no suffix)."""
        write_text(path.with_name(path.name + ".csv"), csv_text(self.numbers))
        write_text(path.with_name(path.name + ".md"), self.markdown())
        write_text(path.with_name(path.name + ".tex"), self.latex())
        write_text(path.with_name(path.name + ".html"), self.html())

    def markdown(self) -> str:
        """Return a pipe table, followed by a paragraph per note."""
        ends = ["---" if i < self.left else "---:" for i in range(len(self.header))]
        lines = "".join(f"| {' | '.join(row)} |\n" for row in [self.header, ends, *self.rows])
        return lines + "".join(f"\n{note}\n" for note in self.notes)

    def latex(self) -> str:
        """Return a booktabs tabular, or a longtable if it exceeds a page, with a rule where the first cell changes."""
        environment = "longtable" if len(self.rows) > LONG else "tabular"
        columns = "l" * self.left + "r" * (len(self.header) - self.left)
        lines = [rf"\begin{{{environment}}}{{{columns}}}", r"\toprule"]
        lines += [_latex_row(self.header), r"\midrule"]
        if environment == "longtable":
            lines.append(r"\endhead")
        for before, row in zip([None, *self.rows], self.rows, strict=False):
            if before and before[0] != row[0]:
                lines.append(r"\midrule")
            lines.append(_latex_row(row))
        notes = [rf"\par {_latex(note)}" for note in self.notes]
        return "\n".join([*lines, r"\bottomrule", rf"\end{{{environment}}}", *notes, ""])

    def html(self) -> str:
        """Return a complete HTML page, for the report."""
        head = f'<!DOCTYPE html><meta charset="utf-8"><style>{HTML_STYLE.format(self.left)}</style>'
        lines = [head, "<table>", _html_row(self.header, "th"), *(_html_row(row, "td") for row in self.rows)]
        return "\n".join([*lines, "</table>", *(f"<p>{escape(note)}</p>" for note in self.notes), ""])


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV with six decimals; a missing number is an empty cell."""
    text: str = frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text


def _html_row(cells: Sequence[str], kind: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
