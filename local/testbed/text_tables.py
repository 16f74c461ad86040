"""Tables for a terminal and for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def printed(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, headings first."""
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(text.rstrip() for text in lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same as Markdown."""
    head, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rest))
